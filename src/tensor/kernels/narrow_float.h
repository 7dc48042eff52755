// Rounding float32 to narrower floats, in integers: no rounding mode, no flush to zero, one answer.
// Source: spec/store-forms.md, Cast.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kilter {

/// A float of one sign bit, then exponent and mantissa.
struct NarrowFloat {
  unsigned exponent_bits = 0;
  unsigned mantissa_bits = 0;
  /// Patterns of the smallest magnitude that is too large, of what replaces it, and of NaN.
  std::uint32_t overflow = 0, overflow_becomes = 0, nan = 0;
};

inline constexpr NarrowFloat kNarrowBf16{8, 7, 0x7F80, 0x7F80, 0x7FC0};
inline constexpr NarrowFloat kNarrowF16{5, 10, 0x7C00, 0x7C00, 0x7E00};
inline constexpr NarrowFloat kNarrowF8E4M3{4, 3, 0x7F, 0x7F, 0x7F};
inline constexpr NarrowFloat kNarrowF8E5M2{5, 2, 0x7C, 0x7C, 0x7E};

/// The pattern nearest to the float32 of these bits, ties to even.
std::uint32_t narrow_float(const NarrowFloat& to, std::uint32_t bits);

/// `narrow` [count] = the float32 in `wide` rounded. Elements of 1 or 2 bytes, as `to` has bits.
void narrow_float32(const NarrowFloat& to, const std::byte* wide, std::size_t count,
                    std::byte* narrow);

}  // namespace kilter
