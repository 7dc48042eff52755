// Where tensors lie inside a file, whatever its format.
#pragma once

#include <string>
#include <vector>

#include "kilter/checkpoint.h"

#include "io/file_system.h"

namespace kilter::store {

struct Extent {
  std::string name;
  DType dtype = DType::kU8;
  std::vector<std::int64_t> shape;  ///< of the tensor that fills it; else a run of elements
  std::uint64_t offset_bytes = 0;
  std::uint64_t bytes = 0;
};

/// Runs of plain tensor bytes of at least kTensorBytesMin in the file at `path`, by offset, without
/// overlap. None for a file that is no checkpoint: its bytes are kept all the same.
std::vector<Extent> tensor_extents(io::FileSystem& files, const std::string& path);

}  // namespace kilter::store
