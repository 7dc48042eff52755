// A file system in memory, for tests: it knows what was synced. Paths with and without a leading
// slash are the same; its files have no descriptors.
#pragma once

#include <cstdint>
#include <memory>

#include "io/file_system.h"

namespace kilter::io {

class MemoryFileSystem : public FileSystem {
 public:
  /// Forgets everything that was not synced: file bytes, and names whose folder was not synced.
  virtual void lose_power() = 0;
  /// As lose_power(), but each unsynced file and each changed name survives or not, as `seed`
  /// decides: a disk is free to write early.
  virtual void lose_power_partly(std::uint64_t seed) = 0;
  /// Bytes that still fit; writes beyond it are kNoSpace.
  virtual void set_free_bytes(std::uint64_t bytes) = 0;
  /// Puts a file there, durable.
  virtual void put(const std::string& path, std::string_view content) = 0;
  /// Puts a symlink there, durable; its folders are made as needed, as put() does.
  virtual void put_symlink(const std::string& path, const std::string& target) = 0;
};
std::unique_ptr<MemoryFileSystem> make_memory_file_system();

}  // namespace kilter::io
