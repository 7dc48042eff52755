// Files of the operating system.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>

#include "io/file_system.h"
#include "io/unique_fd.h"

namespace kilter::io {

/// Opens a second descriptor with O_DIRECT for the file behind another one, on first demand.
class LazyDirectFd {
 public:
  /// -1 where the file system refuses O_DIRECT or wants a coarser alignment than ours.
  int get(int plain_fd, int access_flags) const;

 private:
  mutable std::once_flag once_;
  mutable UniqueFd fd_;
};

class RealReadFile : public ReadFile {
 public:
  /// Takes an open descriptor. Errors: kInvalidArgument unless it is a regular file.
  static Result<std::unique_ptr<ReadFile>> adopt(UniqueFd fd, std::string path);
  RealReadFile(UniqueFd fd, std::string path, std::uint64_t bytes)
      : fd_(std::move(fd)), path_(std::move(path)), bytes_(bytes) {}

  const std::string& path() const override { return path_; }
  std::uint64_t bytes() const override { return bytes_; }
  Status read_at(std::uint64_t offset_bytes, std::span<std::byte> out) const override;
  int fd() const override { return fd_.get(); }
  int direct_fd() const override;

 private:
  UniqueFd fd_;
  LazyDirectFd direct_;
  std::string path_;
  std::uint64_t bytes_;
};

class RealWriteFile : public WriteFile {
 public:
  RealWriteFile(UniqueFd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  const std::string& path() const override { return path_; }
  Status write_at(std::uint64_t offset_bytes, Bytes bytes) override;
  Status reserve(std::uint64_t total_bytes) override;
  Status truncate(std::uint64_t total_bytes) override;
  Status sync() override;
  int fd() const override { return fd_.get(); }
  int direct_fd() const override;

 private:
  Status refuse_if_too_large(std::uint64_t total_bytes);
  Status grow_to(std::uint64_t total_bytes);

  UniqueFd fd_;
  LazyDirectFd direct_;
  std::string path_;
};

/// Flags with which every file is opened for reading: a FIFO must not make us wait.
int read_open_flags();

}  // namespace kilter::io
