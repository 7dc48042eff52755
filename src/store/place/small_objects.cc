#include "store/place/small_objects.h"

#include "base/try.h"
#include "store/place/place.h"
#include "store/s3_lease.h"

namespace kilter::store {
namespace {

/// What a lease is put on: the name that its reference has in the specification.
std::string lease_name(const std::string& name) {
  return name.starts_with("refs/") ? name.substr(5) : name;
}

}  // namespace

std::string probe_name() { return "refs/.probe-" + random_hex(16); }

Result<std::optional<SmallObjects::Text>> SmallObjects::look(const std::string& name) const {
  auto text = objects_->read_text(name, kSmallTextMax);
  if (text) return std::optional<Text>(std::move(*text));
  if (text.error().code == ErrorCode::kNotFound) return std::optional<Text>();
  return fail(std::move(text).error());
}

Result<std::optional<std::string>> SmallObjects::read(const std::string& name) const {
  KILTER_ASSIGN(auto text, look(name));
  if (!text) return std::optional<std::string>();
  return std::optional<std::string>(std::move(text->text));
}

Result<bool> SmallObjects::change(const std::string& name, const std::optional<std::string>& text,
                                  const std::optional<std::string>& expected,
                                  bool conditional) const {
  KILTER_ASSIGN(const auto now, look(name));
  if (now.has_value() != expected.has_value() || (now && now->text != *expected)) return false;
  if (!text) {
    KILTER_TRY(objects_->remove(name));
    return true;
  }
  io::PutCondition condition;
  if (conditional && now) condition.if_etag = now->etag;
  condition.if_absent = conditional && !now;
  const auto put = objects_->put(name, as_bytes(*text), condition);
  if (put) return true;
  if (put.error().code == ErrorCode::kAlreadyExists) return false;
  return fail(put.error());
}

Result<bool> SmallObjects::replace(const std::string& name, const std::optional<std::string>& text,
                                   const std::optional<std::string>& expected) const {
  if (!lease_) return change(name, text, expected, true);
  bool changed = false;
  KILTER_TRY(with_lease(*objects_, lease_name(name), {}, [&]() -> Status {
    KILTER_ASSIGN(changed, change(name, text, expected, false));
    return ok();
  }));
  return changed;
}

Result<std::int64_t> SmallObjects::server_time() const {
  const std::string name = probe_name();
  KILTER_TRY(objects_->put(name, as_bytes("time")));
  const auto info = objects_->head(name);
  KILTER_TRY(objects_->remove(name));
  if (!info) return fail(info.error());
  return info->modified_unix_seconds;
}

}  // namespace kilter::store
