#include "store/format/json_fields.h"

#include "base/text.h"

namespace kilter::store {
namespace {

const Json& empty_array() {
  static const Json value = Json::array();
  return value;
}

}  // namespace

JsonFields::JsonFields(const Json& object, std::string what)
    : object_(object), what_(std::move(what)) {
  if (!object_.is_object()) fault("is no JSON object");
}

void JsonFields::fault(const std::string& message) {
  if (status_) status_ = fail(ErrorCode::kMalformed, what_ + " " + message);
}

const Json* JsonFields::find(const char* key) const {
  if (!object_.is_object()) return nullptr;
  const auto found = object_.find(key);
  return found == object_.end() ? nullptr : &*found;
}

const Json& JsonFields::member(const char* key) {
  const Json* value = find(key);
  if (value != nullptr) return *value;
  fault("has no \"" + std::string(key) + "\"");
  return empty_array();
}

const Json& JsonFields::array(const char* key, bool optional) {
  const Json* value = find(key);
  if (value == nullptr && optional) return empty_array();
  if (value != nullptr && value->is_array()) return *value;
  fault("has no array \"" + std::string(key) + "\"");
  return empty_array();
}

std::uint64_t JsonFields::to_u64(const Json& value, std::uint64_t max) {
  if (value.is_number_unsigned() && value.get<std::uint64_t>() <= max)
    return value.get<std::uint64_t>();
  fault("holds " + escape_text(value.dump(-1, ' ', true, Json::error_handler_t::replace), 60) +
        " where a number of at most " + std::to_string(max) + " belongs");
  return 0;
}

std::uint64_t JsonFields::u64(const char* key, std::uint64_t max) {
  return to_u64(member(key), max);
}

std::string JsonFields::text(const char* key) {
  const Json& value = member(key);
  if (value.is_string()) return value.get<std::string>();
  fault("has no text \"" + std::string(key) + "\"");
  return {};
}

std::string JsonFields::text_or(const char* key, std::string otherwise) {
  return find(key) == nullptr ? std::move(otherwise) : text(key);
}

Digest JsonFields::to_digest(const Json& value) {
  if (value.is_string())
    if (const auto digest = digest_from_hex(value.get_ref<const std::string&>())) return *digest;
  fault("holds something else where a digest belongs");
  return {};
}

Digest JsonFields::digest(const char* key) { return to_digest(member(key)); }

}  // namespace kilter::store
