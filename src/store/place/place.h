// Where a store's objects lie: a folder or a bucket. Source: spec/store.md.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kilter/error.h"

#include "io/file_system.h"

namespace kilter::store {

struct PlaceEntry {
  std::string name;  ///< relative to the store, '/' between parts
  std::uint64_t bytes = 0;
  std::int64_t modified_unix_ns = 0;
};

/// An object being written. It goes away unless it is published.
class StagedObject {
 public:
  virtual ~StagedObject() = default;
  virtual io::WriteFile& file() = 0;
  /// Makes the bytes durable, then the object visible under `name`, then that durable. Names follow
  /// from content: where one is taken, the staged bytes are dropped. Call it once.
  virtual Status publish(const std::string& name) = 0;
};

/// Held until destroyed, or until its holder dies.
class PlaceLock {
 public:
  virtual ~PlaceLock() = default;
  /// kIo if others had reason to take its holder for dead: they may hold it by now.
  virtual Status still_held() { return ok(); }
};

/// A writer that may refer to chunks it has not stored itself.
class PlaceSession {
 public:
  virtual ~PlaceSession() = default;
  virtual const std::string& id() const = 0;
  /// kIo if others had reason to take this session for dead: what it has seen may be gone.
  virtual Status still_alive() = 0;
};

/// All calls may come from several threads. Names were made by this program or listed.
class Place {
 public:
  virtual ~Place() = default;
  virtual std::string address() const = 0;  ///< for messages
  virtual bool remote() const { return false; }

  virtual Status make_root() { return ok(); }  ///< before a store is made
  /// What a store made here must require of all who use it ("reference-lease").
  virtual Result<std::vector<std::string>> needed_features() { return std::vector<std::string>(); }
  /// Obeys what the store here requires. False for a feature that this place does not know.
  virtual bool use_feature(std::string_view /*feature*/) { return false; }
  /// All objects below `folder`, sorted by name, without hidden ones; none if it is missing.
  virtual Result<std::vector<PlaceEntry>> list(const std::string& folder) = 0;
  virtual Result<std::unique_ptr<io::ReadFile>> open(const std::string& name) = 0;
  virtual Result<std::unique_ptr<StagedObject>> stage() = 0;
  /// A small object by its content's name, durable.
  Status put(const std::string& name, Bytes bytes);
  virtual Status remove(const std::string& name) = 0;  ///< one that is missing is no error
  /// Moves an object to aside/, under its own name.
  virtual Status set_aside(const std::string& name) = 0;

  /// The text of a small object that is replaced now and then; nullopt if it is missing.
  virtual Result<std::optional<std::string>> read_small(const std::string& name) = 0;
  /// Replaces it, or removes it (`text` empty), if it still is `expected`. Durable. False if
  /// it is not.
  virtual Result<bool> replace_small(const std::string& name,
                                     const std::optional<std::string>& text,
                                     const std::optional<std::string>& expected) = 0;

  virtual Result<std::unique_ptr<PlaceSession>> begin_session() = 0;
  virtual Result<std::vector<std::string>> live_sessions() = 0;  ///< ids
  /// One holder of `name` at a time; null where another holds it and `wait` is false.
  virtual Result<std::unique_ptr<PlaceLock>> lock(const std::string& name, bool wait) = 0;
  /// Drops what is kept on this machine of an object whose bytes failed a check. True if there
  /// was something: then reading it again may help.
  virtual bool forget(const std::string& /*name*/) { return false; }
  /// From now on every reading asks the place itself: for who checks it.
  virtual void bypass_cache() {}
  /// Removes what dead writers left behind, older than `age_ns`. Returns how many objects.
  virtual Result<std::uint64_t> sweep(std::int64_t age_ns, bool dry_run) = 0;
};

/// Text of references and their kin is at most this long.
inline constexpr std::uint64_t kSmallTextMax = 1ULL << 20;

/// A store in a folder. `files` must outlive it.
std::unique_ptr<Place> make_folder_place(io::FileSystem& files, std::string root);

/// `digits` random lower-case hexadecimal digits.
std::string random_hex(std::size_t digits);

}  // namespace kilter::store
