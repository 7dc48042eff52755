#include "io/memory_object_store.h"

#include <cstring>
#include <map>
#include <mutex>

#include "base/checked.h"
#include "base/hash.h"
#include "base/try.h"

namespace kilter::io {
namespace {

struct MemoryObject {
  std::string content;
  std::string etag;
  std::int64_t modified_unix_seconds = 0;
};

class MemoryObjects : public MemoryObjectStore {
 public:
  explicit MemoryObjects(std::string address) : address_(std::move(address)) {}
  std::string address() const override { return address_; }

  Result<ObjectInfo> head(const std::string& name) override {
    return counted<ObjectInfo>(false, name, [&]() -> Result<ObjectInfo> {
      KILTER_ASSIGN(const MemoryObject* object, find(name));
      return info_of(name, *object);
    });
  }

  Status read_at(const std::string& name, std::uint64_t offset_bytes, std::span<std::byte> out,
                 const std::string& if_etag) override {
    return counted<void>(false, name, [&]() -> Status {
      KILTER_ASSIGN(const MemoryObject* object, find(name));
      if (!if_etag.empty() && if_etag != object->etag)
        return fail(at(name, Error(ErrorCode::kIo, "the object changed while it was being read")));
      if (!range_fits(offset_bytes, out.size(), object->content.size()))
        return fail(at(name, Error(ErrorCode::kOutOfRange, "the range ends past the object")));
      if (!out.empty()) std::memcpy(out.data(), object->content.data() + offset_bytes, out.size());
      return ok();
    });
  }

  Result<Text> read_text(const std::string& name, std::uint64_t bytes_max) override {
    return counted<Text>(false, name, [&]() -> Result<Text> {
      KILTER_ASSIGN(const MemoryObject* object, find(name));
      if (object->content.size() > bytes_max)
        return fail(at(name, Error(ErrorCode::kLimitExceeded, "the object is too long")));
      return Text{.text = object->content, .etag = object->etag};
    });
  }

  Result<ObjectInfo> put(const std::string& name, Bytes bytes,
                         const PutCondition& condition) override {
    return counted<ObjectInfo>(true, name, [&]() -> Result<ObjectInfo> {
      KILTER_TRY(may_put(name, condition));
      MemoryObject& object = objects_[name];
      object = {.content = std::string(as_text(bytes)),
                .etag = '"' + to_hex(sha256(bytes)).substr(0, 32) + '"',
                .modified_unix_seconds = time_};
      return info_of(name, object);
    });
  }

  Result<ObjectInfo> put_file(const std::string& name, const ReadFile& file,
                              const PutCondition& condition) override {
    std::vector<std::byte> content(file.bytes());
    KILTER_TRY(file.read_at(0, content));
    return put(name, content, condition);
  }

  Result<std::vector<ObjectInfo>> list(const std::string& prefix) override {
    return counted<std::vector<ObjectInfo>>(false, prefix, [&]() {
      std::vector<ObjectInfo> out;
      for (auto it = objects_.lower_bound(prefix);
           it != objects_.end() && it->first.starts_with(prefix); ++it)
        out.push_back(info_of(it->first, it->second));
      return Result<std::vector<ObjectInfo>>(std::move(out));
    });
  }

  Status remove(const std::string& name) override {
    return counted<void>(false, name, [&]() -> Status {
      objects_.erase(name);
      return ok();
    });
  }

  Result<std::uint64_t> remove_stale_uploads(std::int64_t) override {
    return counted<std::uint64_t>(false, "", [] { return Result<std::uint64_t>(0); });
  }

  void fail_at(std::uint64_t call, ObjectFault fault, bool sticky) override {
    const std::lock_guard lock(mutex_);
    fault_call_ = call;
    fault_ = fault;
    sticky_ = sticky;
  }
  std::uint64_t call_count() const override {
    const std::lock_guard lock(mutex_);
    return calls_;
  }
  void set_conditions(Conditions conditions) override {
    const std::lock_guard lock(mutex_);
    conditions_ = conditions;
  }
  void set_time(std::int64_t unix_seconds) override {
    const std::lock_guard lock(mutex_);
    time_ = unix_seconds;
  }

 private:
  /// Runs `action` under the lock, with the fault that is due.
  template <typename T, typename Action>
  Result<T> counted(bool is_put, const std::string& name, Action action) {
    const std::lock_guard lock(mutex_);
    const std::uint64_t call = calls_++;
    const bool due = call == fault_call_ || (sticky_ && call > fault_call_);
    switch (due ? fault_ : ObjectFault::kNone) {
      case ObjectFault::kUnavailable:
        return fail(at(name, Error(ErrorCode::kIo, "answered with 503 SlowDown")));
      case ObjectFault::kForbidden:
        return fail(at(name, Error(ErrorCode::kPermission, "answered with 403 AccessDenied")));
      case ObjectFault::kLostAnswer:
        static_cast<void>(action());
        return fail(at(name, Error(ErrorCode::kIo, "the connection broke before the answer")));
      case ObjectFault::kConflict:
        if (is_put)
          return fail(at(name, Error(ErrorCode::kAlreadyExists, "another writer was first")));
        break;
      case ObjectFault::kNone:
        break;
    }
    return action();
  }

  Error at(const std::string& name, Error error) const {
    return std::move(error).at_path(join_path(address_, name));
  }
  Result<const MemoryObject*> find(const std::string& name) const {
    const auto it = objects_.find(name);
    if (it == objects_.end())
      return fail(at(name, Error(ErrorCode::kNotFound, "there is no such object")));
    return &it->second;
  }
  static ObjectInfo info_of(const std::string& name, const MemoryObject& object) {
    return {.name = name,
            .bytes = object.content.size(),
            .etag = object.etag,
            .modified_unix_seconds = object.modified_unix_seconds};
  }
  Status may_put(const std::string& name, const PutCondition& condition) const {
    if (!condition.any() || conditions_ == Conditions::kIgnored) return ok();
    if (conditions_ == Conditions::kRefused)
      return fail(at(name, Error(ErrorCode::kUnsupported, "answered with 501 NotImplemented")));
    const auto it = objects_.find(name);
    const bool held = condition.if_absent
                          ? it == objects_.end()
                          : it != objects_.end() && it->second.etag == condition.if_etag;
    if (held) return ok();
    return fail(at(name, Error(ErrorCode::kAlreadyExists, "another writer was first")));
  }

  std::string address_;
  mutable std::mutex mutex_;
  std::map<std::string, MemoryObject> objects_;
  std::uint64_t calls_ = 0;
  std::uint64_t fault_call_ = 0;
  ObjectFault fault_ = ObjectFault::kNone;
  bool sticky_ = false;
  Conditions conditions_ = Conditions::kKept;
  std::int64_t time_ = 1'700'000'000;
};

}  // namespace

std::unique_ptr<MemoryObjectStore> make_memory_object_store(std::string address) {
  return std::make_unique<MemoryObjects>(std::move(address));
}

}  // namespace kilter::io
