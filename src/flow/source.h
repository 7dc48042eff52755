// Where tensors come from.
#pragma once

#include <memory>
#include <string>

#include "kilter/tensor_index.h"

#include "io/file_system.h"

namespace kilter {

/// Reads tensors of a validated index. All calls may come from several threads.
///
/// Bytes come out contiguous in C order, little-endian, whatever the storage's strides, byte order
/// or coding; conjugate and negative bits are applied.
class Source {
 public:
  virtual ~Source() = default;
  virtual const TensorIndex& index() const = 0;
  /// The file system path of index().files[file], for messages.
  virtual std::string file_path(std::uint32_t file) const = 0;

  /// Bytes [offset_bytes, offset_bytes + out.size()) of the contiguous form of `tensor`.
  /// Scratch memory is bounded by `scratch_bytes_max` (at least 1 MiB).
  /// Errors: kOutOfRange, kIo, kMalformed or kCorrupt (deflate), with path, tensor and offset.
  virtual Status read_tensor(std::size_t tensor, std::uint64_t offset_bytes,
                             std::span<std::byte> out,
                             std::uint64_t scratch_bytes_max = 8ULL << 20) const = 0;
  /// Bytes of a storage, decoded; swapped to little-endian in units of `element`'s swap size.
  virtual Status read_storage(std::size_t storage, DType element, std::uint64_t offset_bytes,
                              std::span<std::byte> out) const = 0;
  /// Plain bytes of a file of the tree.
  virtual Status read_file(std::uint32_t file, std::uint64_t offset_bytes,
                           std::span<std::byte> out) const = 0;
  /// For the engine's direct reads: the file that holds a raw storage; nullptr if not applicable.
  /// Stays open as long as the source; nullptr too once 32 files are held this way.
  virtual const io::ReadFile* raw_file(std::uint32_t file) const = 0;
  /// The same for any number of files: open as long as the caller keeps it. nullptr where the
  /// source's bytes do not lie in files.
  virtual std::shared_ptr<const io::ReadFile> open_file(std::uint32_t file) const {
    (void)file;
    return nullptr;
  }
};

/// A source over files beneath `root` (a folder), or the single file `root` when the index has one
/// file. Files are opened on first use, beneath the root only, and a bounded number stays open.
/// `index` must have passed validate(); it is shared, not copied: an index of many thousand tensors
/// costs more to copy than to read.
std::shared_ptr<Source> make_file_source(io::FileSystem& files, std::string root,
                                         bool root_is_folder,
                                         std::shared_ptr<const TensorIndex> index);
std::shared_ptr<Source> make_file_source(io::FileSystem& files, std::string root,
                                         bool root_is_folder, TensorIndex index);

}  // namespace kilter
