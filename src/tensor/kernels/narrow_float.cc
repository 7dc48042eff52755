#include "tensor/kernels/narrow_float.h"

#include <algorithm>
#include <cstring>

// The loop for bf16 is plain: compiled once for each instruction set, the compiler makes vectors
// of it.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tensor/kernels/narrow_float.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace kilter::HWY_NAMESPACE {

void narrow_to_bf16(const std::byte* wide, std::size_t count, std::byte* narrow) {
  for (std::size_t i = 0; i < count; ++i) {
    std::uint32_t bits;
    std::memcpy(&bits, wide + 4 * i, 4);
    const std::uint32_t rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
    const std::uint32_t nan = (bits >> 16 & 0x8000) | 0x7FC0;
    const auto out = static_cast<std::uint16_t>((bits & 0x7FFFFFFF) > 0x7F800000 ? nan : rounded);
    std::memcpy(narrow + 2 * i, &out, 2);
  }
}

}  // namespace kilter::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace kilter {
namespace {

HWY_EXPORT(narrow_to_bf16);

/// value / 2^shift, to nearest, ties to even; shift 1 to 31.
std::uint32_t shift_to_even(std::uint32_t value, unsigned shift) {
  const std::uint32_t half = (1U << (shift - 1)) - 1;
  return (value + half + (value >> shift & 1)) >> shift;
}

}  // namespace

std::uint32_t narrow_float(const NarrowFloat& to, std::uint32_t bits) {
  const std::uint32_t sign = bits >> 31 << (to.exponent_bits + to.mantissa_bits);
  const std::uint32_t magnitude = bits & 0x7FFFFFFF;
  if (magnitude > 0x7F800000) return sign | to.nan;
  const unsigned dropped = 23 - to.mantissa_bits;
  const int bias_change = 127 - ((1 << (to.exponent_bits - 1)) - 1);
  const int exponent = static_cast<int>(magnitude >> 23) - bias_change;
  std::uint32_t out = 0;
  if (exponent >= 1 || bias_change == 0) {
    out = shift_to_even(magnitude - (static_cast<std::uint32_t>(bias_change) << 23), dropped);
  } else {  // subnormal: the hidden bit comes in, one more place is lost for each missing power
    const std::uint32_t mantissa = (magnitude & 0x7FFFFF) | 0x800000;
    out = shift_to_even(mantissa, std::min(dropped + static_cast<unsigned>(1 - exponent), 26U));
  }
  return sign | (out >= to.overflow ? to.overflow_becomes : out);
}

void narrow_float32(const NarrowFloat& to, const std::byte* wide, std::size_t count,
                    std::byte* narrow) {
  if (to.exponent_bits == 8) return HWY_DYNAMIC_DISPATCH(narrow_to_bf16)(wide, count, narrow);
  const std::size_t width = (1 + to.exponent_bits + to.mantissa_bits) / 8;
  for (std::size_t i = 0; i < count; ++i) {
    std::uint32_t bits;
    std::memcpy(&bits, wide + 4 * i, 4);
    const std::uint32_t out = narrow_float(to, bits);
    std::memcpy(narrow + width * i, &out, width);
  }
}

}  // namespace kilter
#endif  // HWY_ONCE
