// What tensors a checkpoint holds and where their bytes lie. Owned by the floor `flow`.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kilter/dtype.h"
#include "kilter/error.h"

namespace kilter {

/// One file of a checkpoint's tree.
struct FileEntry {
  std::string path;  ///< relative to the checkpoint's root, '/' between parts
  std::uint64_t bytes = 0;
};

enum class StorageCoding : std::uint8_t {
  kRaw,
  kDeflate,
  kInline,  ///< in `inline_bytes`: data that lies re-encoded inside a header, such as numpy in a
            ///< pickle
  kZstd,    ///< Zstandard frames, which may go on behind `bytes`
  kPieces,  ///< put together from other storages, as `assembly` says: what ranks saved in parts
};

/// A box of an assembled whole and the view of a storage that fills it.
struct Piece {
  std::vector<std::int64_t> offsets;  ///< of its first element in the whole, in each dimension
  std::vector<std::int64_t> sizes;    ///< as many; a piece without elements fills nothing
  std::uint32_t storage = 0;          ///< index in TensorIndex::storages; never itself assembled
  std::uint64_t offset_elements = 0;  ///< of the first element in that storage
  std::vector<std::int64_t> strides;  ///< elements of that storage, one for each dimension
};

/// How pieces make up the bytes of a storage, in C order of `shape`. A tensor in that storage may
/// have another shape: a flat run cut at any element has an assembly of one dimension.
struct Assembly {
  DType element = DType::kF32;  ///< fills whole bytes; its size counts offsets and strides above
  std::vector<std::int64_t> shape;
  std::vector<Piece> pieces;  ///< any order; together every element of the whole exactly once
};

/// A run of bytes in one file that tensors are views of; or an assembly of such runs.
struct StorageInfo {
  /// Index in TensorIndex::files. Of an assembly, which has no bytes of its own: any file it draws
  /// from, for messages; offset_bytes and stored_bytes are 0.
  std::uint32_t file = 0;
  std::uint64_t offset_bytes = 0;  ///< of the first stored byte, from the start of the file
  std::uint64_t stored_bytes = 0;  ///< in the file
  std::uint64_t bytes = 0;         ///< after decoding; equals stored_bytes for kRaw
  StorageCoding coding = StorageCoding::kRaw;
  bool big_endian = false;
  std::optional<std::uint32_t> crc32;  ///< of the decoded bytes, where the container states it
  /// For kInline only.
  std::shared_ptr<const std::vector<std::byte>> inline_bytes;
  /// For kPieces only.
  std::shared_ptr<const Assembly> assembly;
  std::string name;    ///< as the container names it: "archive/data/0"
  std::string device;  ///< "cpu", "cuda:0", … where the file states it
};

/// One tensor: a strided view into a storage.
struct TensorInfo {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<std::int64_t> shape;  ///< logical elements; empty for a scalar
  std::vector<std::int64_t>
      strides;  ///< elements, one for each dimension; 0 for a broadcast one, never negative
  std::uint32_t storage = 0;          ///< index in TensorIndex::storages
  std::uint64_t offset_elements = 0;  ///< of the first element in its storage
  bool requires_grad = false;
  bool conjugate = false;  ///< values are the conjugates of the stored ones
  bool negative = false;   ///< values are the negatives of the stored ones
  bool parameter = false;  ///< torch.nn.Parameter

  std::uint64_t element_count() const;  ///< product of shape; readers checked that it fits
  std::uint64_t bytes() const;          ///< contiguous size; sub-byte dtypes round up
  bool contiguous() const;              ///< C order without gaps (dimensions of 1 are free)
};

/// Files, storages, tensors. Tensor order is the file's own order.
struct TensorIndex {
  std::vector<FileEntry> files;
  std::vector<StorageInfo> storages;
  std::vector<TensorInfo> tensors;

  /// Position of the tensor of that name; nullopt if none.
  std::optional<std::size_t> find(std::string_view name) const;
  /// Checks every view against its storage and every storage against its file, in checked
  /// arithmetic, and that the pieces of every assembly fill it without gap or overlap. Readers
  /// call it last: nothing that failed it is ever read.
  /// Errors: kMalformed with tensor, offset, expected, found; kLimitExceeded for assemblies of more
  /// corners than a budget allows (millions of pieces).
  Status validate() const;
};

/// C-order strides (elements) of `shape`.
std::vector<std::int64_t> contiguous_strides(const std::vector<std::int64_t>& shape);

}  // namespace kilter
