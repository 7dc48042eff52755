#include "store/place/object_place.h"

#include <algorithm>
#include <atomic>

#include "base/try.h"
#include "store/place/object_range_file.h"
#include "store/place/staged_upload.h"

namespace kilter::store {
namespace {

constexpr std::string_view kLeaseFeature = "reference-lease";
constexpr std::string_view kSessionSuffix = ".json";
constexpr std::size_t kCopyBytes = 8U << 20;
constexpr std::chrono::minutes kLockWaitMax{30};
constexpr std::chrono::milliseconds kLockPause{500};

/// Readers see neither hidden objects nor the folders that gateways to file systems list.
bool is_shown(std::string_view name) {
  return !name.starts_with('.') && !name.ends_with('/') && name.find("/.") == name.npos;
}

class ObjectLock : public PlaceLock {
 public:
  explicit ObjectLock(std::unique_ptr<KeptObject> kept) : kept_(std::move(kept)) {}
  Status still_held() override { return kept_->still_held(); }

 private:
  std::unique_ptr<KeptObject> kept_;
};

class ObjectSession : public PlaceSession {
 public:
  ObjectSession(std::string id, std::unique_ptr<KeptObject> kept)
      : id_(std::move(id)), kept_(std::move(kept)) {}
  const std::string& id() const override { return id_; }
  Status still_alive() override { return kept_->still_held(); }

 private:
  std::string id_;
  std::unique_ptr<KeptObject> kept_;
};

class ObjectPlace : public Place {
 public:
  ObjectPlace(std::shared_ptr<io::ObjectStore> objects, ObjectPlaceOptions options)
      : objects_(std::move(objects)),
        small_(std::make_shared<SmallObjects>(objects_)),
        options_(std::move(options)) {}

  std::string address() const override { return objects_->address(); }
  bool remote() const override { return true; }
  Result<std::vector<std::string>> needed_features() override;
  bool use_feature(std::string_view feature) override;
  Result<std::vector<PlaceEntry>> list(const std::string& folder) override;
  Result<std::unique_ptr<io::ReadFile>> open(const std::string& name) override;
  Result<std::unique_ptr<StagedObject>> stage() override {
    return stage_upload(objects_, options_.staging_folder);
  }
  Status remove(const std::string& name) override;
  Status set_aside(const std::string& name) override;
  Result<std::optional<std::string>> read_small(const std::string& name) override {
    return small_->read(name);
  }
  Result<bool> replace_small(const std::string& name, const std::optional<std::string>& text,
                             const std::optional<std::string>& expected) override {
    return small_->replace(name, text, expected);
  }
  Result<std::unique_ptr<PlaceSession>> begin_session() override;
  Result<std::vector<std::string>> live_sessions() override;
  Result<std::unique_ptr<PlaceLock>> lock(const std::string& name, bool wait) override;
  bool forget(const std::string& name) override {
    return options_.cache != nullptr && options_.cache->forget(io::join_path(address(), name));
  }
  void bypass_cache() override { bypass_ = true; }
  Result<std::uint64_t> sweep(std::int64_t age_ns, bool dry_run) override;

 private:
  Result<std::unique_ptr<KeptObject>> try_lock(const std::string& name);
  Result<std::optional<std::string>> abandoned_text(const std::string& name);
  bool is_dead(std::int64_t modified_unix_seconds, std::int64_t now_unix_seconds) const {
    return now_unix_seconds - modified_unix_seconds > options_.times.alive.count();
  }

  std::shared_ptr<io::ObjectStore> objects_;
  std::shared_ptr<SmallObjects> small_;
  ObjectPlaceOptions options_;
  std::atomic<bool> bypass_ = false;
};

Result<std::vector<std::string>> ObjectPlace::needed_features() {
  KILTER_ASSIGN(const bool honoured, io::honours_conditions(*objects_, probe_name()));
  small_->use_lease(!honoured);
  if (honoured) return std::vector<std::string>();
  return std::vector<std::string>{std::string(kLeaseFeature)};
}

bool ObjectPlace::use_feature(std::string_view feature) {
  if (feature != kLeaseFeature) return false;
  small_->use_lease(true);
  return true;
}

Result<std::vector<PlaceEntry>> ObjectPlace::list(const std::string& folder) {
  KILTER_ASSIGN(const auto found, objects_->list(folder.empty() ? "" : folder + "/"));
  std::vector<PlaceEntry> out;
  for (const io::ObjectInfo& info : found)
    if (is_shown(info.name))
      out.push_back({info.name, info.bytes, info.modified_unix_seconds * 1'000'000'000});
  std::ranges::sort(out, {}, &PlaceEntry::name);
  return out;
}

Result<std::unique_ptr<io::ReadFile>> ObjectPlace::open(const std::string& name) {
  const bool immutable = name.starts_with("packs/") || name.starts_with("index/");
  return open_object_ranges(objects_, name, immutable && !bypass_ ? options_.cache : nullptr);
}

Status ObjectPlace::remove(const std::string& name) {
  KILTER_TRY(objects_->remove(name));
  forget(name);
  return ok();
}

// There are no renames.
Status ObjectPlace::set_aside(const std::string& name) {
  KILTER_ASSIGN(const auto file, open_object_ranges(objects_, name, nullptr));
  KILTER_ASSIGN(const auto staged, stage());
  std::vector<std::byte> buffer;
  for (std::uint64_t at = 0; at < file->bytes(); at += buffer.size()) {
    buffer.resize(
        static_cast<std::size_t>(std::min<std::uint64_t>(kCopyBytes, file->bytes() - at)));
    KILTER_TRY(file->read_at(at, buffer));
    KILTER_TRY(staged->file().write_at(at, buffer));
  }
  const std::string target = "aside/" + name;
  // What was set aside under this name before is not what is now.
  KILTER_TRY(objects_->remove(target));
  KILTER_TRY(staged->publish(target));
  return remove(name);
}

Result<std::unique_ptr<PlaceSession>> ObjectPlace::begin_session() {
  while (true) {
    std::string id = random_hex(16);
    KILTER_ASSIGN(auto kept, KeptObject::begin(small_, "sessions/" + id + ".json", owner_text(),
                                               std::nullopt, options_.times));
    if (kept != nullptr) return std::make_unique<ObjectSession>(std::move(id), std::move(kept));
  }
}

Result<std::vector<std::string>> ObjectPlace::live_sessions() {
  KILTER_ASSIGN(const auto found, objects_->list("sessions/"));
  std::vector<std::string> alive;
  if (found.empty()) return alive;
  KILTER_ASSIGN(const std::int64_t now, small_->server_time());
  for (const io::ObjectInfo& info : found) {
    if (!is_shown(info.name) || !info.name.ends_with(kSessionSuffix)) continue;
    if (is_dead(info.modified_unix_seconds, now)) {
      KILTER_TRY(objects_->remove(info.name));
      continue;
    }
    const std::string last = io::last_part(info.name);
    alive.push_back(last.substr(0, last.size() - kSessionSuffix.size()));
  }
  return alive;
}

/// What stands in a lock that nobody renews; nullopt where it is held.
Result<std::optional<std::string>> ObjectPlace::abandoned_text(const std::string& name) {
  const auto info = objects_->head(name);
  if (!info && info.error().code == ErrorCode::kNotFound) return std::optional<std::string>();
  if (!info) return fail(info.error());
  KILTER_ASSIGN(const std::int64_t now, small_->server_time());
  if (!is_dead(info->modified_unix_seconds, now)) return std::optional<std::string>();
  return small_->read(name);
}

Result<std::unique_ptr<KeptObject>> ObjectPlace::try_lock(const std::string& name) {
  const std::string text = owner_text();
  KILTER_ASSIGN(auto kept, KeptObject::begin(small_, name, text, std::nullopt, options_.times));
  if (kept != nullptr) return kept;
  KILTER_ASSIGN(const auto abandoned, abandoned_text(name));
  if (!abandoned) return kept;
  return KeptObject::begin(small_, name, text, abandoned, options_.times);
}

Result<std::unique_ptr<PlaceLock>> ObjectPlace::lock(const std::string& name, bool wait) {
  const auto end = std::chrono::steady_clock::now() + kLockWaitMax;
  while (true) {
    KILTER_ASSIGN(auto kept, try_lock("locks/" + name));
    if (kept != nullptr) return std::make_unique<ObjectLock>(std::move(kept));
    if (!wait) return std::unique_ptr<PlaceLock>();
    if (std::chrono::steady_clock::now() > end)
      return fail(Error(ErrorCode::kIo, "another has held the lock for half an hour")
                      .at_path(io::join_path(address(), "locks/" + name))
                      .advise("try again when it is done"));
    std::this_thread::sleep_for(kLockPause);
  }
}

/// Uploads that were never completed show in no listing and can only be counted by ending them.
Result<std::uint64_t> ObjectPlace::sweep(std::int64_t age_ns, bool dry_run) {
  KILTER_ASSIGN(const std::int64_t now, small_->server_time());
  const std::int64_t before = now - age_ns / 1'000'000'000;
  std::uint64_t count = 0;
  KILTER_ASSIGN(const auto probes, objects_->list("refs/.probe-"));
  for (const io::ObjectInfo& probe : probes) {
    if (probe.modified_unix_seconds >= before) continue;
    ++count;
    if (!dry_run) KILTER_TRY(objects_->remove(probe.name));
  }
  if (dry_run) return count;
  KILTER_ASSIGN(const std::uint64_t uploads, objects_->remove_stale_uploads(before));
  return count + uploads;
}

}  // namespace

std::unique_ptr<Place> make_object_place(std::shared_ptr<io::ObjectStore> objects,
                                         ObjectPlaceOptions options) {
  return std::make_unique<ObjectPlace>(std::move(objects), std::move(options));
}

}  // namespace kilter::store
