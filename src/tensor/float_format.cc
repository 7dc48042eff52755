#include "tensor/float_format.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

namespace kilter {
namespace {

using D = DType;
using S = FloatSpecials;

// Sources: IEEE 754-2019; OCP 8-bit Floating Point Specification 1.0 (e4m3fn, e5m2); OCP
// Microscaling Formats 1.0 (e8m0, e3m2, e2m3, e2m1); "8-bit Numerical Formats for Deep Neural
// Networks", arXiv 2206.02915 (the fnuz formats); bf16 is the upper half of binary32.
constexpr std::array kFormats = {
    // dtype, sign, exponent, mantissa, bias, specials
    FloatFormat{D::kF16, 1, 5, 10, 15, S::kIeee},
    FloatFormat{D::kBF16, 1, 8, 7, 127, S::kIeee},
    FloatFormat{D::kF32, 1, 8, 23, 127, S::kIeee},
    FloatFormat{D::kF64, 1, 11, 52, 1023, S::kIeee},
    FloatFormat{D::kF8E4M3FN, 1, 4, 3, 7, S::kNanAllOnes},
    FloatFormat{D::kF8E5M2, 1, 5, 2, 15, S::kIeee},
    FloatFormat{D::kF8E4M3FNUZ, 1, 4, 3, 8, S::kNanMinusZero},
    FloatFormat{D::kF8E5M2FNUZ, 1, 5, 2, 16, S::kNanMinusZero},
    FloatFormat{D::kF8E8M0FNU, 0, 8, 0, 127, S::kNanAllOnes},
    FloatFormat{D::kF6E2M3, 1, 2, 3, 1, S::kNone},
    FloatFormat{D::kF6E3M2, 1, 3, 2, 3, S::kNone},
    FloatFormat{D::kF4E2M1, 1, 2, 1, 1, S::kNone},
};

DType part_of(DType dtype) {
  switch (dtype) {
    case D::kC32:
      return D::kF16;
    case D::kBC32:
      return D::kBF16;
    case D::kC64:
      return D::kF32;
    case D::kC128:
      return D::kF64;
    default:
      return dtype;
  }
}

bool is_nan_pattern(const FloatFormat& format, std::uint64_t pattern,
                    std::uint64_t magnitude_mask) {
  if (format.specials == S::kNanAllOnes) return (pattern & magnitude_mask) == magnitude_mask;
  if (format.specials == S::kNanMinusZero) return pattern == magnitude_mask + 1;
  return false;
}

// A format without sign and mantissa is a power of two: its smallest exponent is no zero.
double decode_exponent_only(const FloatFormat& format, std::uint64_t pattern) {
  return std::ldexp(1.0, static_cast<int>(pattern) - format.bias);
}

}  // namespace

const FloatFormat* float_format(DType dtype) {
  const DType part = part_of(dtype);
  const auto* row = std::find_if(kFormats.begin(), kFormats.end(),
                                 [part](const FloatFormat& f) { return f.dtype == part; });
  return row == kFormats.end() ? nullptr : row;
}

std::uint32_t part_bytes(const FloatFormat& format) { return (format.bits() + 7) / 8; }

double decode_float(const FloatFormat& format, std::uint64_t pattern) {
  if (format.dtype == D::kF64) return std::bit_cast<double>(pattern);
  const unsigned magnitude_bits = unsigned{format.exponent_bits} + format.mantissa_bits;
  const std::uint64_t magnitude_mask = (std::uint64_t{1} << magnitude_bits) - 1;
  if (is_nan_pattern(format, pattern, magnitude_mask)) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  if (format.mantissa_bits == 0) return decode_exponent_only(format, pattern & magnitude_mask);

  const std::uint64_t exponent_max = (std::uint64_t{1} << format.exponent_bits) - 1;
  const std::uint64_t exponent = (pattern & magnitude_mask) >> format.mantissa_bits;
  const std::uint64_t hidden_bit = std::uint64_t{1} << format.mantissa_bits;
  const std::uint64_t mantissa = pattern & (hidden_bit - 1);
  const double sign = (pattern >> magnitude_bits & 1U) != 0 ? -1.0 : 1.0;
  if (format.specials == S::kIeee && exponent == exponent_max) {
    return mantissa != 0 ? std::numeric_limits<double>::quiet_NaN()
                         : sign * std::numeric_limits<double>::infinity();
  }
  const bool subnormal = exponent == 0;
  const auto digits = static_cast<double>(subnormal ? mantissa : mantissa | hidden_bit);
  const int scale = static_cast<int>(subnormal ? 1 : exponent) - format.bias - format.mantissa_bits;
  return sign * std::ldexp(digits, scale);
}

}  // namespace kilter
