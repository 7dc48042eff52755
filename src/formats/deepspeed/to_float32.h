// Small tensors as float32, which DeepSpeed's own script makes of half-precision buffers.
#pragma once

#include <memory>
#include <vector>

#include "kilter/dtype.h"

#include "base/byte_reader.h"

namespace kilter::deepspeed {

/// True for f16, bf16 and f64.
bool becomes_float32(DType dtype);

/// Little-endian elements of such a type as little-endian float32, rounded to nearest even.
std::vector<std::byte> to_float32(DType dtype, Bytes elements);

}  // namespace kilter::deepspeed
