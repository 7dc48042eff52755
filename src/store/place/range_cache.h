// What was read of objects that never change, kept on this machine.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "base/byte_reader.h"

namespace kilter::store {

/// One file for each range, below a folder that several processes may share. Each carries a digest:
/// what is torn or damaged counts as missing. Nothing fails here: what cannot be kept is not kept.
///
/// All calls may come from several threads.
class RangeCache {
 public:
  /// A process adds at most a sixteenth of `bytes_max` before it looks at the whole folder again
  /// and removes what was longest unused: alone, it stays below the bound.
  RangeCache(const std::string& folder, std::uint64_t bytes_max);

  /// Fills `out` if exactly this range of this version is kept.
  bool find(const std::string& object, const std::string& version, std::uint64_t offset_bytes,
            std::span<std::byte> out);
  void add(const std::string& object, const std::string& version, std::uint64_t offset_bytes,
           Bytes bytes);
  /// Drops all ranges of an object. True if there were any.
  bool forget(const std::string& object);

 private:
  std::string folder_of(const std::string& object) const;
  void make_room(std::uint64_t bytes);

  std::string folder_;
  std::uint64_t bytes_max_;
  std::mutex mutex_;  // guards what follows
  bool looked_ = false;
  std::uint64_t added_bytes_ = 0;  // since the last look
};

/// The cache of this user: KILTER_CACHE, else XDG_CACHE_HOME/kilter, else ~/.cache/kilter, of
/// KILTER_CACHE_BYTES (a number of bytes, or as "4GiB"; default 10 GiB). Null for 0 bytes, and
/// where there is no such folder.
std::shared_ptr<RangeCache> range_cache_of_environment();

}  // namespace kilter::store
