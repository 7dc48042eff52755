// A file under a temporary name that speaks of itself by its final one.
#pragma once

#include <memory>
#include <string>

#include "io/file_system.h"

namespace kilter::io {

/// Forwards to `inner`; path() and every error name `path`, which is what a person knows.
class PublishedFile : public WriteFile {
 public:
  PublishedFile(std::unique_ptr<WriteFile> inner, std::string path)
      : inner_(std::move(inner)), path_(std::move(path)) {}

  const std::string& path() const override { return path_; }
  Status write_at(std::uint64_t offset_bytes, Bytes bytes) override {
    return renamed(inner_->write_at(offset_bytes, bytes));
  }
  Status reserve(std::uint64_t total_bytes) override {
    return renamed(inner_->reserve(total_bytes));
  }
  Status truncate(std::uint64_t total_bytes) override {
    return renamed(inner_->truncate(total_bytes));
  }
  Status sync() override { return renamed(inner_->sync()); }
  int fd() const override { return inner_->fd(); }
  int direct_fd() const override { return inner_->direct_fd(); }

 private:
  Status renamed(Status status) const {
    if (!status) status.error().path = path_;
    return status;
  }

  std::unique_ptr<WriteFile> inner_;
  std::string path_;
};

}  // namespace kilter::io
