#include "io/object_store.h"

#include "base/checked.h"
#include "base/try.h"

namespace kilter::io {
namespace {

class ObjectFile : public ReadFile {
 public:
  ObjectFile(ObjectStore& store, ObjectInfo info)
      : store_(store), info_(std::move(info)), path_(join_path(store.address(), info_.name)) {}
  const std::string& path() const override { return path_; }
  std::uint64_t bytes() const override { return info_.bytes; }
  Status read_at(std::uint64_t offset_bytes, std::span<std::byte> out) const override {
    if (!range_fits(offset_bytes, out.size(), info_.bytes))
      return fail(Error(ErrorCode::kOutOfRange, "the range ends past the object")
                      .at_path(path_)
                      .at_offset(offset_bytes));
    if (out.empty()) return ok();
    return store_.read_at(info_.name, offset_bytes, out, info_.etag);
  }

 private:
  ObjectStore& store_;
  ObjectInfo info_;
  std::string path_;
};

/// True if the put was refused because of its condition.
Result<bool> is_refused(ObjectStore& store, const std::string& name, std::string_view text,
                        const PutCondition& condition) {
  auto done = store.put(name, as_bytes(text), condition);
  if (done) return false;
  if (done.error().code == ErrorCode::kAlreadyExists) return true;
  return fail(std::move(done).error());
}

Result<bool> probe(ObjectStore& store, const std::string& name) {
  KILTER_ASSIGN(const ObjectInfo first, store.put(name, as_bytes("first")));
  KILTER_ASSIGN(const bool absent, is_refused(store, name, "second", {.if_absent = true}));
  if (!absent || first.etag.empty()) return false;
  // The right etag must pass, and the same one must not pass a second time.
  KILTER_ASSIGN(const bool right, is_refused(store, name, "third", {.if_etag = first.etag}));
  KILTER_ASSIGN(const bool stale, is_refused(store, name, "fourth", {.if_etag = first.etag}));
  return !right && stale;
}

}  // namespace

Result<std::unique_ptr<ReadFile>> open_object(ObjectStore& store, const std::string& name) {
  KILTER_ASSIGN(ObjectInfo info, store.head(name));
  return std::make_unique<ObjectFile>(store, std::move(info));
}

Result<bool> honours_conditions(ObjectStore& store, const std::string& probe_name) {
  auto answer = probe(store, probe_name);
  KILTER_TRY(store.remove(probe_name));
  if (!answer && answer.error().code == ErrorCode::kUnsupported) return false;
  return answer;
}

}  // namespace kilter::io
