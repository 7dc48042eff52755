// The loops of the delta form, one segment (up to 128 elements) at a time.
// Source: spec/store-forms.md, Delta.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kilter::store {

/// Elements of a whole segment; `count` below is at most this.
inline constexpr std::size_t kDeltaSegment = 128;

/// What the loops need to know of an element. Little-endian, no alignment needed.
struct DeltaLayout {
  std::size_t element_bytes = 0;
  bool is_float = false;       ///< ordered by sign and magnitude instead of two's complement
  unsigned mantissa_bits = 0;  ///< the exponent lies above; integers have none
};

inline constexpr std::uint32_t kDeltaContexts = 16;
/// f32 elements with exponents outside predict themselves: no product can become subnormal or
/// infinite, so a processor's flush-to-zero mode changes nothing.
inline constexpr std::uint32_t kScaledExponentMin = 24, kScaledExponentMax = 230;

/// predicted[i] = base[i] * scale, `repeats` times, each product rounded to nearest even. f32.
void delta_scale(const std::byte* base, std::size_t count, float scale, unsigned repeats,
                 std::byte* predicted);

/// What a segment costs against a prediction.
struct DeltaSegment {
  std::uint32_t changed = 0;    ///< elements that differ from their prediction
  std::uint32_t class_sum = 0;  ///< of the size classes of all differences
  std::uint64_t level_sum = 0;  ///< of class plus base exponent of those that differ
};

/// Differences of a segment: their symbols (see the specification) and low_bits[i], the bits of
/// the magnitude that the symbol leaves out.
DeltaSegment delta_measure(const DeltaLayout& layout, const std::byte* plain,
                           const std::byte* predicted, const std::byte* base, std::size_t count,
                           std::uint8_t* symbols, std::uint64_t* low_bits);

/// contexts[i] = level - exponent of base[i], cut to [0, 15].
void delta_contexts(const DeltaLayout& layout, const std::byte* base, std::size_t count, int level,
                    std::uint8_t* contexts);

/// plain[i] = predicted[i] + the difference of symbols[i] and low_bits[i].
void delta_restore(const DeltaLayout& layout, const std::byte* predicted,
                   const std::uint8_t* symbols, const std::uint64_t* low_bits, std::size_t count,
                   std::byte* plain);

/// Low bits that follow a symbol: none up to symbol 6, then one more every four symbols.
constexpr unsigned delta_extra_bits(std::uint8_t symbol) {
  return symbol < 3 ? 0U : (symbol - 3U) >> 2;
}

}  // namespace kilter::store
