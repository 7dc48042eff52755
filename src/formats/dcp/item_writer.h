// The bytes of one item: a torch archive around a pickle and, for tensors, one payload.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kilter/dtype.h"
#include "kilter/error.h"

namespace kilter::dcp {

/// The pickle of a tensor that lies in C order in record "data/0".
/// Errors: kUnsupported for a dtype that torch lacks.
Result<std::string> tensor_pickle(const std::string& name, DType dtype,
                                  const std::vector<std::int64_t>& shape);

/// What lies before and behind the payload. Sizes do not depend on checksums.
struct ItemFrame {
  std::string head;
  std::string tail;
  std::uint64_t bytes = 0;  ///< of the whole item
};

/// An item with a payload of `payload_bytes` bytes, CRC-32 `crc32`.
ItemFrame tensor_frame(const std::string& pickle, std::uint64_t payload_bytes, std::uint32_t crc32);
/// An item that is only a pickle: all of it is `head`.
ItemFrame object_frame(const std::string& pickle);

/// dtype and shape as torch counts them: 4-bit floats in pairs, quantized integers plain.
DType saved_dtype(DType dtype);
std::vector<std::int64_t> saved_shape(DType dtype, std::vector<std::int64_t> shape);

}  // namespace kilter::dcp
