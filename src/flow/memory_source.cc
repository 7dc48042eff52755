#include "flow/memory_source.h"

#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "base/try.h"

namespace kilter {
namespace {

/// All storages, one behind the other.
class LiveFile final : public io::ReadFile {
 public:
  LiveFile(std::string name, const TensorIndex& index, std::vector<Bytes> storages)
      : name_(std::move(name)), storages_(std::move(storages)) {
    for (const StorageInfo& storage : index.storages) begins_.push_back(storage.offset_bytes);
    bytes_ = index.files.front().bytes;
  }

  const std::string& path() const override { return name_; }
  std::uint64_t bytes() const override { return bytes_; }

  Status read_at(std::uint64_t offset_bytes, std::span<std::byte> out) const override {
    if (!range_fits(offset_bytes, out.size(), bytes_))
      return fail(Error(ErrorCode::kOutOfRange, "read past the end").at_path(name_));
    if (out.empty()) return ok();
    auto at = static_cast<std::size_t>(
        std::upper_bound(begins_.begin(), begins_.end(), offset_bytes) - begins_.begin() - 1);
    std::uint64_t skip = offset_bytes - begins_[at];
    for (; !out.empty(); ++at, skip = 0) {
      const Bytes from = storages_[at].subspan(skip);
      const std::size_t count = std::min(from.size(), out.size());
      if (count > 0) std::memcpy(out.data(), from.data(), count);
      out = out.subspan(count);
    }
    return ok();
  }

 private:
  std::string name_;
  std::vector<Bytes> storages_;
  std::vector<std::uint64_t> begins_;
  std::uint64_t bytes_ = 0;
};

/// A file system with that one file, for reading alone.
class LiveFiles final : public io::FileSystem {
 public:
  explicit LiveFiles(LiveFile file) : file_(std::move(file)) {}

  Result<std::unique_ptr<io::ReadFile>> open_read(const std::string&) override {
    return std::unique_ptr<io::ReadFile>(std::make_unique<LiveFile>(file_));
  }
  Result<io::FileStat> stat(const std::string&, bool) override {
    io::FileStat stat;
    stat.bytes = stat.allocated_bytes = file_.bytes();
    return stat;
  }
  Result<std::unique_ptr<io::WriteFile>> create(const std::string&) override { return no(); }
  Result<std::vector<io::FolderEntry>> list(const std::string&) override { return no(); }
  Status make_folder(const std::string&) override { return no(); }
  Status remove(const std::string&) override { return no(); }
  Status rename(const std::string&, const std::string&, io::Replace) override { return no(); }
  Status sync_folder(const std::string&) override { return no(); }
  Result<std::uint64_t> free_bytes(const std::string&) override { return no(); }

 private:
  static tl::unexpected<Error> no() {
    return fail(ErrorCode::kUnsupported, "live memory is only read");
  }
  LiveFile file_;
};

class MemorySource final : public Source {
 public:
  MemorySource(LiveFile file, std::string name, TensorIndex index)
      : files_(std::move(file)),
        inner_(make_file_source(files_, std::move(name), false, std::move(index))) {}

  const TensorIndex& index() const override { return inner_->index(); }
  std::string file_path(std::uint32_t file) const override { return inner_->file_path(file); }
  Status read_tensor(std::size_t tensor, std::uint64_t offset_bytes, std::span<std::byte> out,
                     std::uint64_t scratch_bytes_max) const override {
    return inner_->read_tensor(tensor, offset_bytes, out, scratch_bytes_max);
  }
  Status read_storage(std::size_t storage, DType element, std::uint64_t offset_bytes,
                      std::span<std::byte> out) const override {
    return inner_->read_storage(storage, element, offset_bytes, out);
  }
  Status read_file(std::uint32_t file, std::uint64_t offset_bytes,
                   std::span<std::byte> out) const override {
    return inner_->read_file(file, offset_bytes, out);
  }
  const io::ReadFile* raw_file(std::uint32_t file) const override { return inner_->raw_file(file); }
  std::shared_ptr<const io::ReadFile> open_file(std::uint32_t file) const override {
    return inner_->open_file(file);
  }

 private:
  LiveFiles files_;
  std::shared_ptr<Source> inner_;
};

}  // namespace

Result<std::shared_ptr<const Source>> make_memory_source(TensorIndex index,
                                                         std::vector<Bytes> storages,
                                                         std::string name) {
  if (index.storages.size() != storages.size())
    return fail(ErrorCode::kInvalidArgument, "the storages do not fit the index");
  index.files = {{name, 0}};
  for (std::size_t i = 0; i < storages.size(); ++i) {
    StorageInfo& storage = index.storages[i];
    storage.file = 0;
    storage.offset_bytes = index.files.front().bytes;
    storage.bytes = storage.stored_bytes = storages[i].size();
    storage.coding = StorageCoding::kRaw;
    index.files.front().bytes += storages[i].size();
  }
  KILTER_TRY(index.validate());
  LiveFile file(name, index, std::move(storages));
  return std::shared_ptr<const Source>(
      std::make_shared<MemorySource>(std::move(file), std::move(name), std::move(index)));
}

}  // namespace kilter
