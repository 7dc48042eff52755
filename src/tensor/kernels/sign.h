// Conjugates and negatives: what torch's lazy conj and neg bits stand for.
#pragma once

#include <cstddef>
#include <span>

#include "kilter/dtype.h"
#include "kilter/error.h"

namespace kilter {

/// Replaces each complex element by its conjugate, in place. `bytes` holds whole elements in
/// little-endian order. Real dtypes stay as they are: a real number is its own conjugate.
/// Errors: kInvalidArgument if `bytes` does not hold whole elements.
Status conjugate(DType dtype, std::span<std::byte> bytes);

/// Replaces each element by its negative, in place: floats by their sign bit (of zero and NaN
/// too, where the format has both signs), integers in two's complement, complex numbers in both
/// parts. Errors: kUnsupported for dtypes without negatives (bool, quantized, raw bits, f8_e8m0fnu,
/// f6); kInvalidArgument if `bytes` does not hold whole elements.
Status negate(DType dtype, std::span<std::byte> bytes);

}  // namespace kilter
