// Tensors whose bytes lie in pieces: some in memory, some in a scratch file.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/raw_bytes.h"
#include "flow/source.h"

namespace kilter::store {

/// A file without a name in a folder, for what is not known to fit into memory. write_at() may be
/// called from several threads.
class ScratchFile {
 public:
  /// In `folder` ("" = the current one). Errors: as creating a file there.
  static Result<std::shared_ptr<ScratchFile>> create(const std::string& folder);
  virtual ~ScratchFile() = default;
  virtual Status write_at(std::uint64_t offset_bytes, Bytes bytes) = 0;
  virtual Status read_at(std::uint64_t offset_bytes, std::span<std::byte> out) const = 0;
};

struct PiecedTensor {
  std::string name;
  RawBytes head;  ///< the first bytes, in memory
  struct Piece {
    std::uint64_t offset_bytes = 0, bytes = 0;  ///< in the scratch file
  };
  std::vector<Piece> pieces;  ///< what follows
  std::uint64_t bytes() const;
};

/// u8 tensors of one dimension. `file` may be null where there are no pieces.
std::shared_ptr<const Source> make_pieced_source(std::vector<PiecedTensor> tensors,
                                                 std::shared_ptr<const ScratchFile> file);

/// An index of tensors that lie in no file as they are: contiguous, one storage each, read by a
/// source of its own.
TensorIndex made_up_index(std::vector<TensorInfo> tensors, std::string path);

}  // namespace kilter::store
