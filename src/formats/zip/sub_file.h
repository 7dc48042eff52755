// Files inside files: a range of another file, or bytes in memory.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/checked.h"
#include "io/file_system.h"

namespace kilter::zip {

/// Bytes in memory that read like a file.
class MemoryFile final : public io::ReadFile {
 public:
  MemoryFile(std::string path, std::vector<std::byte> bytes)
      : path_(std::move(path)), bytes_(std::move(bytes)) {}
  const std::string& path() const override { return path_; }
  std::uint64_t bytes() const override { return bytes_.size(); }
  Status read_at(std::uint64_t offset_bytes, std::span<std::byte> out) const override;

 private:
  std::string path_;
  std::vector<std::byte> bytes_;
};

/// Bytes [offset, offset + bytes) of `outer`, which must outlive it and hold the range.
class RangeFile final : public io::ReadFile {
 public:
  RangeFile(const io::ReadFile& outer, std::string path, std::uint64_t offset_bytes,
            std::uint64_t bytes)
      : outer_(outer), path_(std::move(path)), offset_(offset_bytes), bytes_(bytes) {}
  const std::string& path() const override { return path_; }
  std::uint64_t bytes() const override { return bytes_; }
  Status read_at(std::uint64_t offset_bytes, std::span<std::byte> out) const override;

 private:
  const io::ReadFile& outer_;
  std::string path_;
  std::uint64_t offset_;
  std::uint64_t bytes_;
};

}  // namespace kilter::zip
