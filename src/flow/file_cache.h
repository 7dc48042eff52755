// A bounded number of open files of one checkpoint.
#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "kilter/tensor_index.h"

#include "io/file_system.h"

namespace kilter::flow {

/// Opens files on first use and closes those not used for the longest time. Thread-safe.
class FileCache {
 public:
  static constexpr std::size_t kOpenMax = 64;

  FileCache(io::FileSystem& files, std::string root, bool root_is_folder)
      : files_(files), root_(std::move(root)), root_is_folder_(root_is_folder) {}

  std::string path_of(const FileEntry& entry) const;
  /// Stays open while the caller holds it. Errors: as open_read() and open_beneath(); kIo if the
  /// file is now shorter than the index says.
  Result<std::shared_ptr<const io::ReadFile>> open(std::uint32_t number, const FileEntry& entry);

 private:
  struct Entry {
    std::uint32_t number;
    std::shared_ptr<const io::ReadFile> file;
  };

  io::FileSystem& files_;
  std::string root_;
  bool root_is_folder_;
  std::mutex mutex_;
  std::list<Entry> open_;  // most recently used first
};

}  // namespace kilter::flow
