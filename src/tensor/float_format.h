// How the bits of each float dtype are divided, as data.
#pragma once

#include <cstdint>
#include <optional>

#include "kilter/dtype.h"

namespace kilter {

/// What a float format spends bit patterns on besides numbers.
enum class FloatSpecials : std::uint8_t {
  kIeee,          ///< all-ones exponent: infinity where the mantissa is 0, else NaN
  kNanAllOnes,    ///< only the pattern of ones (with either sign) is NaN; no infinity
  kNanMinusZero,  ///< only "minus zero" is NaN; no infinity
  kNone,
};

/// sign_bits + exponent_bits + mantissa_bits bits, sign highest.
struct FloatFormat {
  DType dtype;
  std::uint8_t sign_bits;
  std::uint8_t exponent_bits;
  std::uint8_t mantissa_bits;
  std::int16_t bias;
  FloatSpecials specials;

  unsigned bits() const { return unsigned{sign_bits} + exponent_bits + mantissa_bits; }
};

/// The format of a float dtype, or of a complex dtype's parts; nullptr for other dtypes.
const FloatFormat* float_format(DType dtype);

/// Elements or parts of dtypes of a byte or more: 4 for f32 and c64.
std::uint32_t part_bytes(const FloatFormat& format);

/// The value of one pattern. Exact: every format here is a subset of binary64.
double decode_float(const FloatFormat& format, std::uint64_t pattern);

}  // namespace kilter
