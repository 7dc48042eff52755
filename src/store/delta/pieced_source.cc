#include "store/delta/pieced_source.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/checked.h"
#include "base/try.h"
#include "io/os_error.h"
#include "io/real_file.h"

namespace kilter::store {
namespace {

class NamelessFile final : public ScratchFile {
 public:
  NamelessFile(io::UniqueFd fd, std::string path)
      : path_(std::move(path)), file_(std::move(fd), path_) {}
  Status write_at(std::uint64_t offset_bytes, Bytes bytes) override {
    return file_.write_at(offset_bytes, bytes);
  }
  Status read_at(std::uint64_t offset_bytes, std::span<std::byte> out) const override {
    while (!out.empty()) {
      const ssize_t got =
          ::pread(file_.fd(), out.data(), out.size(), static_cast<off_t>(offset_bytes));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return fail(io::os_error(errno, "read back", path_));
      if (got == 0) return fail(Error(ErrorCode::kIo, "a scratch file ends early").at_path(path_));
      out = out.subspan(static_cast<std::size_t>(got));
      offset_bytes += static_cast<std::uint64_t>(got);
    }
    return {};
  }

 private:
  std::string path_;
  io::RealWriteFile file_;
};

class PiecedSource final : public Source {
 public:
  PiecedSource(std::vector<PiecedTensor> tensors, std::shared_ptr<const ScratchFile> file)
      : tensors_(std::move(tensors)), file_(std::move(file)) {
    std::vector<TensorInfo> infos;
    for (const PiecedTensor& tensor : tensors_) {
      TensorInfo& info = infos.emplace_back();
      info.name = tensor.name;
      info.dtype = DType::kU8;
      info.shape = {static_cast<std::int64_t>(tensor.bytes())};
      std::vector<std::uint64_t>& ends = ends_.emplace_back();
      std::uint64_t at = tensor.head.size();
      for (const PiecedTensor::Piece& piece : tensor.pieces) ends.push_back(at += piece.bytes);
    }
    index_ = made_up_index(std::move(infos), "delta");
  }

  const TensorIndex& index() const override { return index_; }
  std::string file_path(std::uint32_t) const override { return index_.files.front().path; }

  Status read_tensor(std::size_t tensor, std::uint64_t offset_bytes, std::span<std::byte> out,
                     std::uint64_t) const override {
    const PiecedTensor& from = tensors_[tensor];
    if (!range_fits(offset_bytes, out.size(), from.bytes()))
      return fail(Error(ErrorCode::kOutOfRange, "read past the end").at_tensor(from.name));
    if (offset_bytes < from.head.size()) {
      const std::size_t count = std::min<std::size_t>(out.size(), from.head.size() - offset_bytes);
      std::memcpy(out.data(), from.head.data() + offset_bytes, count);
      out = out.subspan(count);
      offset_bytes += count;
    }
    const std::vector<std::uint64_t>& ends = ends_[tensor];
    auto at = static_cast<std::size_t>(std::ranges::upper_bound(ends, offset_bytes) - ends.begin());
    for (; !out.empty(); ++at) {
      const PiecedTensor::Piece& piece = from.pieces[at];
      const std::uint64_t left = ends[at] - offset_bytes;
      const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), left));
      KILTER_TRY(file_->read_at(piece.offset_bytes + (piece.bytes - left), out.first(count)));
      out = out.subspan(count);
      offset_bytes += count;
    }
    return {};
  }
  Status read_storage(std::size_t storage, DType, std::uint64_t offset_bytes,
                      std::span<std::byte> out) const override {
    return read_tensor(storage, offset_bytes, out, 0);
  }
  Status read_file(std::uint32_t, std::uint64_t, std::span<std::byte>) const override {
    return fail(ErrorCode::kUnsupported, "pieces are no file");
  }
  const io::ReadFile* raw_file(std::uint32_t) const override { return nullptr; }

 private:
  std::vector<PiecedTensor> tensors_;
  std::vector<std::vector<std::uint64_t>> ends_;  // of each tensor's pieces, from its beginning
  std::shared_ptr<const ScratchFile> file_;
  TensorIndex index_;
};

}  // namespace

Result<std::shared_ptr<ScratchFile>> ScratchFile::create(const std::string& folder) {
  std::string path = io::join_path(folder.empty() ? "." : folder, ".kilter-scratch-XXXXXX");
  io::UniqueFd fd(::mkostemp(path.data(), O_CLOEXEC));
  if (!fd) return fail(io::os_error(errno, "create", path));
  static_cast<void>(::unlink(path.c_str()));
  return std::make_shared<NamelessFile>(std::move(fd), path);
}

std::uint64_t PiecedTensor::bytes() const {
  std::uint64_t total = head.size();
  for (const Piece& piece : pieces) total += piece.bytes;
  return total;
}

std::shared_ptr<const Source> make_pieced_source(std::vector<PiecedTensor> tensors,
                                                 std::shared_ptr<const ScratchFile> file) {
  return std::make_shared<PiecedSource>(std::move(tensors), std::move(file));
}

TensorIndex made_up_index(std::vector<TensorInfo> tensors, std::string path) {
  TensorIndex index;
  index.files = {{std::move(path), 0}};
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    TensorInfo& tensor = tensors[i];
    tensor.strides = contiguous_strides(tensor.shape);
    tensor.storage = static_cast<std::uint32_t>(i);
    tensor.offset_elements = 0;
    StorageInfo& storage = index.storages.emplace_back();
    storage.bytes = tensor.bytes();
    storage.coding = StorageCoding::kZstd;  // not raw: nobody may look for it in a file
  }
  index.tensors = std::move(tensors);
  return index;
}

}  // namespace kilter::store
