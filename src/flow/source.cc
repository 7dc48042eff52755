#include "flow/source.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <unordered_map>
#include <unordered_set>

#include "base/checked.h"
#include "base/try.h"
#include "flow/assembled_read.h"
#include "flow/file_cache.h"
#include "flow/fresh_memory.h"
#include "flow/inflate.h"
#include "flow/strided_read.h"
#include "io/page_cache.h"
#include "tensor/kernels/byte_swap.h"
#include "tensor/kernels/sign.h"

namespace kilter {
namespace {

constexpr std::size_t kRawFilesHeldMax = 32;
/// More does not make runs longer, and this much stays in the second-level cache: with 4 MiB a
/// transposed tensor took a third more processor time.
constexpr std::uint64_t kStridedScratchBytes = 512ULL << 10;
constexpr std::uint64_t kReadAheadBytes = 1ULL << 20;
/// What is copied from here to its rows is still in the second-level cache.
constexpr std::uint64_t kPieceScratchBytes = 256ULL << 10;
constexpr std::size_t kUnitBytesMax = 16;

/// Reads [offset_bytes, offset_bytes + out.size()) of a run of units through `whole`, which reads
/// whole units (first unit, bytes to fill). Units cut by the range's ends pass through a small
/// buffer; the run's own last unit may be short.
template <typename Whole>
Status read_in_units(std::uint64_t unit_bytes, std::uint64_t run_bytes, std::uint64_t offset_bytes,
                     std::span<std::byte> out, const Whole& whole) {
  while (!out.empty()) {
    const std::uint64_t unit = offset_bytes / unit_bytes;
    const std::uint64_t skip = offset_bytes % unit_bytes;
    std::uint64_t take = out.size() / unit_bytes * unit_bytes;
    if (skip == 0 && take != 0) {
      KILTER_TRY(whole(unit, out.first(take)));
    } else {
      std::array<std::byte, kUnitBytesMax> buffer;
      const std::uint64_t held = std::min(unit_bytes, run_bytes - unit * unit_bytes);
      KILTER_TRY(whole(unit, std::span(buffer).first(held)));
      take = std::min<std::uint64_t>(out.size(), held - skip);
      std::memcpy(out.data(), buffer.data() + skip, take);
    }
    offset_bytes += take;
    out = out.subspan(take);
  }
  return ok();
}

/// Scratch is kept between calls: fresh memory costs more to touch than to use.
class ScratchShelf {
 public:
  using Memory = std::vector<std::byte>;
  std::unique_ptr<Memory> take(std::size_t bytes) {
    {
      std::lock_guard lock(mutex_);
      for (auto& shelved : free_) {
        if (shelved->size() != bytes) continue;
        auto memory = std::move(shelved);
        shelved = std::move(free_.back());
        free_.pop_back();
        return memory;
      }
    }
    return std::make_unique<Memory>(bytes);
  }
  void put_back(std::unique_ptr<Memory> memory) {
    std::lock_guard lock(mutex_);
    std::erase_if(free_, [&](const auto& other) { return other->size() != memory->size(); });
    free_.push_back(std::move(memory));
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<Memory>> free_;
};

class FileSource : public Source {
 public:
  FileSource(io::FileSystem& files, std::string root, bool root_is_folder,
             std::shared_ptr<const TensorIndex> index)
      : shared_index_(std::move(index)),
        index_(*shared_index_),
        cache_(files, std::move(root), root_is_folder) {}

  const TensorIndex& index() const override { return index_; }
  std::string file_path(std::uint32_t file) const override {
    return cache_.path_of(index_.files[file]);
  }

  Status read_tensor(std::size_t tensor, std::uint64_t offset_bytes, std::span<std::byte> out,
                     std::uint64_t scratch_bytes_max) const override;
  Status read_storage(std::size_t storage, DType element, std::uint64_t offset_bytes,
                      std::span<std::byte> out) const override;
  Status read_file(std::uint32_t file, std::uint64_t offset_bytes,
                   std::span<std::byte> out) const override;
  const io::ReadFile* raw_file(std::uint32_t file) const override;
  std::shared_ptr<const io::ReadFile> open_file(std::uint32_t file) const override;

 private:
  Status read_checked(const TensorInfo& tensor, std::uint64_t offset_bytes,
                      std::span<std::byte> out, std::uint64_t scratch_bytes_max) const;
  Status read_view(const TensorInfo& tensor, std::uint64_t offset_bytes, std::span<std::byte> out,
                   std::uint64_t scratch_bytes_max) const;
  Status read_elements(const TensorInfo& tensor, std::uint64_t first, std::span<std::byte> out,
                       std::uint64_t scratch_bytes_max) const;
  Status read_swapped(std::size_t storage, DType element, std::uint64_t offset_bytes,
                      std::span<std::byte> out) const;
  Status read_decoded(std::size_t storage, std::uint64_t offset_bytes,
                      std::span<std::byte> out) const;
  Status read_assembled(std::size_t storage, std::uint64_t offset_bytes,
                        std::span<std::byte> out) const;
  const flow::AssembledReader& assembled(std::size_t storage) const;
  void prepare_strided(std::size_t storage) const;
  Status locate(Status status, std::uint32_t file) const;

  std::shared_ptr<const TensorIndex> shared_index_;
  const TensorIndex& index_;
  mutable flow::FileCache cache_;
  mutable flow::InflateCache inflate_;
  mutable ScratchShelf scratch_;
  mutable ScratchShelf piece_scratch_;  // of another size: a shelf keeps one
  mutable std::mutex assembled_mutex_;
  mutable std::unordered_map<std::size_t, std::unique_ptr<flow::AssembledReader>> assembled_;
  mutable std::mutex prepared_mutex_;
  mutable std::unordered_set<std::size_t> prepared_;  // storages
  mutable std::mutex held_mutex_;
  mutable std::unordered_map<std::uint32_t, std::shared_ptr<const io::ReadFile>> held_;
};

Status out_of_range(std::uint64_t offset_bytes, std::uint64_t count, std::uint64_t size) {
  return fail(Error(ErrorCode::kOutOfRange, "the bytes asked for are not there")
                  .wanted("a range within " + std::to_string(size) + " bytes",
                          std::to_string(count) + " bytes at " + std::to_string(offset_bytes)));
}

Status FileSource::locate(Status status, std::uint32_t file) const {
  if (status) return status;
  return fail(std::move(status).error().at_path(file_path(file)));
}

Status FileSource::read_tensor(std::size_t tensor, std::uint64_t offset_bytes,
                               std::span<std::byte> out, std::uint64_t scratch_bytes_max) const {
  if (tensor >= index_.tensors.size())
    return fail(
        Error(ErrorCode::kOutOfRange, "no tensor has this number")
            .wanted("below " + std::to_string(index_.tensors.size()), std::to_string(tensor)));
  const TensorInfo& info = index_.tensors[tensor];
  Status status = range_fits(offset_bytes, out.size(), info.bytes())
                      ? read_checked(info, offset_bytes, out, scratch_bytes_max)
                      : out_of_range(offset_bytes, out.size(), info.bytes());
  if (status) return status;
  return locate(fail(std::move(status).error().at_tensor(info.name)),
                index_.storages[info.storage].file);
}

Status FileSource::read_checked(const TensorInfo& tensor, std::uint64_t offset_bytes,
                                std::span<std::byte> out, std::uint64_t scratch_bytes_max) const {
  if (out.empty()) return ok();
  if (!tensor.conjugate && !tensor.negative)
    return read_view(tensor, offset_bytes, out, scratch_bytes_max);
  // Signs belong to whole elements.
  const std::uint64_t bits = dtype_row(tensor.dtype).bits;
  const std::uint64_t unit = std::max<std::uint64_t>(bits / 8, 1);
  return read_in_units(unit, tensor.bytes(), offset_bytes, out,
                       [&](std::uint64_t first, std::span<std::byte> whole) -> Status {
                         KILTER_TRY(read_view(tensor, first * unit, whole, scratch_bytes_max));
                         if (tensor.conjugate) KILTER_TRY(conjugate(tensor.dtype, whole));
                         return tensor.negative ? negate(tensor.dtype, whole) : ok();
                       });
}

Status FileSource::read_view(const TensorInfo& tensor, std::uint64_t offset_bytes,
                             std::span<std::byte> out, std::uint64_t scratch_bytes_max) const {
  const std::uint64_t bits = dtype_row(tensor.dtype).bits;
  if (tensor.contiguous())
    return read_swapped(tensor.storage, tensor.dtype,
                        tensor.offset_elements * bits / 8 + offset_bytes, out);
  return read_in_units(bits / 8, tensor.bytes(), offset_bytes, out,
                       [&](std::uint64_t first, std::span<std::byte> whole) {
                         return read_elements(tensor, first, whole, scratch_bytes_max);
                       });
}

Status FileSource::read_elements(const TensorInfo& tensor, std::uint64_t first,
                                 std::span<std::byte> out, std::uint64_t scratch_bytes_max) const {
  prepare_strided(tensor.storage);
  const DTypeRow& row = dtype_row(tensor.dtype);
  const std::uint64_t count = out.size() / (row.bits / 8U);
  auto memory = scratch_.take(std::clamp<std::uint64_t>(
      scratch_bytes_max, flow::StridedReader::kScratchBytesMin, kStridedScratchBytes));
  const Status status = flow::StridedReader(tensor).read(
      [&](std::uint64_t offset_bytes, std::span<std::byte> to) {
        return read_decoded(tensor.storage, offset_bytes, to);
      },
      first, count, out, *memory);
  scratch_.put_back(std::move(memory));
  if (status && index_.storages[tensor.storage].big_endian) byte_swap(out, row.swap_bytes);
  return status;
}

/// Short runs from all over a storage find it in the page cache: from a cold disk each would cost a
/// seek. Only a part of free memory is asked for, so that a huge storage does not drive out others.
void FileSource::prepare_strided(std::size_t storage) const {
  const StorageInfo& info = index_.storages[storage];
  if (info.coding != StorageCoding::kRaw) return;
  {
    std::lock_guard lock(prepared_mutex_);
    if (!prepared_.insert(storage).second) return;
  }
  if (info.stored_bytes > flow::available_memory_bytes() / 4) return;
  const auto file = cache_.open(info.file, index_.files[info.file]);
  if (!file) return;
  // The kernel cuts a longer wish short (Linux: to the device's read-ahead window).
  for (std::uint64_t at = 0; at < info.stored_bytes; at += kReadAheadBytes)
    io::read_ahead(**file, info.offset_bytes + at,
                   std::min(kReadAheadBytes, info.stored_bytes - at));
}

Status FileSource::read_storage(std::size_t storage, DType element, std::uint64_t offset_bytes,
                                std::span<std::byte> out) const {
  if (storage >= index_.storages.size())
    return fail(
        Error(ErrorCode::kOutOfRange, "no storage has this number")
            .wanted("below " + std::to_string(index_.storages.size()), std::to_string(storage)));
  const StorageInfo& info = index_.storages[storage];
  if (!range_fits(offset_bytes, out.size(), info.bytes))
    return locate(out_of_range(offset_bytes, out.size(), info.bytes), info.file);
  return locate(read_swapped(storage, element, offset_bytes, out), info.file);
}

Status FileSource::read_swapped(std::size_t storage, DType element, std::uint64_t offset_bytes,
                                std::span<std::byte> out) const {
  const StorageInfo& info = index_.storages[storage];
  const std::uint32_t unit = dtype_row(element).swap_bytes;
  if (!info.big_endian || unit <= 1) return read_decoded(storage, offset_bytes, out);
  return read_in_units(unit, info.bytes, offset_bytes, out,
                       [&](std::uint64_t first, std::span<std::byte> whole) -> Status {
                         KILTER_TRY(read_decoded(storage, first * unit, whole));
                         // A storage may end inside a unit: those bytes belong to no element.
                         byte_swap(whole.first(whole.size() / unit * unit), unit);
                         return ok();
                       });
}

Status FileSource::read_decoded(std::size_t storage, std::uint64_t offset_bytes,
                                std::span<std::byte> out) const {
  const StorageInfo& info = index_.storages[storage];
  if (out.empty()) return ok();
  if (info.coding == StorageCoding::kPieces) return read_assembled(storage, offset_bytes, out);
  if (info.coding == StorageCoding::kInline) {
    std::memcpy(out.data(), info.inline_bytes->data() + offset_bytes, out.size());
    return ok();
  }
  KILTER_ASSIGN(const auto file, cache_.open(info.file, index_.files[info.file]));
  if (info.coding == StorageCoding::kRaw)
    return file->read_at(info.offset_bytes + offset_bytes, out);
  return inflate_.read(
      storage, info,
      [&](std::uint64_t at, std::span<std::byte> to) {
        return file->read_at(info.offset_bytes + at, to);
      },
      offset_bytes, out);
}

/// Made on first use: most of a checkpoint's tensors may never be read.
const flow::AssembledReader& FileSource::assembled(std::size_t storage) const {
  std::lock_guard lock(assembled_mutex_);
  auto& reader = assembled_[storage];
  if (!reader) reader = std::make_unique<flow::AssembledReader>(*index_.storages[storage].assembly);
  return *reader;
}

Status FileSource::read_assembled(std::size_t storage, std::uint64_t offset_bytes,
                                  std::span<std::byte> out) const {
  const Assembly& assembly = *index_.storages[storage].assembly;
  const std::uint64_t unit = dtype_row(assembly.element).bits / 8U;
  const flow::AssembledReader& reader = assembled(storage);
  TensorInfo view;
  view.dtype = assembly.element;
  const auto read_piece = [&](const Piece& piece, std::uint64_t first, std::span<std::byte> to) {
    view.shape = piece.sizes;
    view.strides = piece.strides;
    view.storage = piece.storage;
    view.offset_elements = piece.offset_elements;
    return locate(read_view(view, first * unit, to, kStridedScratchBytes),
                  index_.storages[piece.storage].file);
  };
  auto scratch = piece_scratch_.take(kPieceScratchBytes);
  const Status status = read_in_units(unit, index_.storages[storage].bytes, offset_bytes, out,
                                      [&](std::uint64_t first, std::span<std::byte> whole) {
                                        return reader.read(read_piece, first, whole, *scratch);
                                      });
  piece_scratch_.put_back(std::move(scratch));
  return status;
}

Status FileSource::read_file(std::uint32_t file, std::uint64_t offset_bytes,
                             std::span<std::byte> out) const {
  if (file >= index_.files.size())
    return fail(Error(ErrorCode::kOutOfRange, "no file has this number")
                    .wanted("below " + std::to_string(index_.files.size()), std::to_string(file)));
  if (!range_fits(offset_bytes, out.size(), index_.files[file].bytes))
    return locate(out_of_range(offset_bytes, out.size(), index_.files[file].bytes), file);
  KILTER_ASSIGN(const auto open, cache_.open(file, index_.files[file]));
  return out.empty() ? ok() : locate(open->read_at(offset_bytes, out), file);
}

std::shared_ptr<const io::ReadFile> FileSource::open_file(std::uint32_t file) const {
  if (file >= index_.files.size()) return nullptr;
  auto opened = cache_.open(file, index_.files[file]);
  return opened ? *opened : nullptr;
}

const io::ReadFile* FileSource::raw_file(std::uint32_t file) const {
  std::lock_guard lock(held_mutex_);
  if (const auto held = held_.find(file); held != held_.end()) return held->second.get();
  if (held_.size() >= kRawFilesHeldMax) return nullptr;
  auto opened = open_file(file);
  return opened ? held_.emplace(file, std::move(opened)).first->second.get() : nullptr;
}

}  // namespace

std::shared_ptr<Source> make_file_source(io::FileSystem& files, std::string root,
                                         bool root_is_folder,
                                         std::shared_ptr<const TensorIndex> index) {
  return std::make_shared<FileSource>(files, std::move(root), root_is_folder, std::move(index));
}

std::shared_ptr<Source> make_file_source(io::FileSystem& files, std::string root,
                                         bool root_is_folder, TensorIndex index) {
  return make_file_source(files, std::move(root), root_is_folder,
                          std::make_shared<const TensorIndex>(std::move(index)));
}

}  // namespace kilter
