// A file system in memory, for tests: it knows what was synced.
#pragma once

#include <memory>

#include "io/file_system.h"

namespace kilter::io {

class MemoryFileSystem : public FileSystem {
 public:
  /// Forgets everything that was not synced: file bytes, and names whose folder was not synced.
  virtual void lose_power() = 0;
  /// Bytes that still fit; writes beyond it are kNoSpace.
  virtual void set_free_bytes(std::uint64_t bytes) = 0;
  /// Puts a file there, durable.
  virtual void put(const std::string& path, std::string_view content) = 0;
};
std::unique_ptr<MemoryFileSystem> make_memory_file_system();

}  // namespace kilter::io
