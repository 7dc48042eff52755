#include "store/codecs/kernels/delta_kernel.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <type_traits>

// The loops are plain: compiled once for each instruction set, the compiler makes vectors of
// them.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "store/codecs/kernels/delta_kernel.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace kilter::store::HWY_NAMESPACE {

// Elements of up to 32 bits are worked on as 32-bit lanes in whole segments, zeros behind the last:
// loops of one type and a fixed length are those that compilers make vectors of.
template <typename U>
using DeltaWide = std::conditional_t<sizeof(U) <= 4, std::uint32_t, std::uint64_t>;
template <typename U>
inline constexpr DeltaWide<U> kDeltaMask = std::numeric_limits<U>::max();
template <typename U>
inline constexpr unsigned kDeltaTopBit = std::numeric_limits<U>::digits - 1;

template <typename U>
struct DeltaLanes {
  DeltaLanes() = default;
  HWY_INLINE DeltaLanes(const std::byte* elements, std::size_t count) {
    U narrow[kDeltaSegment];
    std::memcpy(narrow, elements, count * sizeof(U));
    if (count < kDeltaSegment) std::fill(narrow + count, narrow + kDeltaSegment, U{0});
    for (std::size_t i = 0; i < kDeltaSegment; ++i) at[i] = narrow[i];
  }
  alignas(64) DeltaWide<U> at[kDeltaSegment];
};

/// Floats in the order of their values: all bits of negatives flipped, the sign of the others.
template <typename U>
HWY_INLINE DeltaWide<U> delta_ordered(DeltaWide<U> bits, DeltaWide<U> float_mask) {
  constexpr DeltaWide<U> kTop = DeltaWide<U>{1} << kDeltaTopBit<U>;
  const DeltaWide<U> negative = DeltaWide<U>{0} - (bits >> kDeltaTopBit<U>);
  return bits ^ ((negative | kTop) & float_mask);
}
template <typename U>
HWY_INLINE DeltaWide<U> delta_unordered(DeltaWide<U> order, DeltaWide<U> float_mask) {
  constexpr DeltaWide<U> kTop = DeltaWide<U>{1} << kDeltaTopBit<U>;
  const DeltaWide<U> negative = (order >> kDeltaTopBit<U>)-DeltaWide<U>{1};
  return order ^ ((negative | kTop) & float_mask);
}

/// How many bits the magnitude has: the exponent of a float that cannot have rounded up, because
/// the bit below the highest is cleared.
HWY_INLINE std::uint32_t delta_class(std::uint32_t magnitude) {
  const auto value = static_cast<float>(static_cast<std::int32_t>(magnitude & ~(magnitude >> 1)));
  const std::uint32_t exponent = std::bit_cast<std::uint32_t>(value) >> 23 & 0xFF;
  return exponent == 0 ? 0 : exponent - 126;
}
HWY_INLINE std::uint64_t delta_class(std::uint64_t magnitude) {
  return static_cast<std::uint64_t>(std::bit_width(magnitude));
}

template <typename U>
HWY_INLINE DeltaWide<U> delta_exponent(DeltaWide<U> bits, unsigned mantissa_bits,
                                       DeltaWide<U> float_mask) {
  return (bits & (kDeltaMask<U> >> 1) & float_mask) >> mantissa_bits;
}

template <typename U>
DeltaSegment measure_as(const DeltaLayout& layout, const std::byte* plain,
                        const std::byte* predicted, const std::byte* base, std::size_t count,
                        std::uint8_t* symbols, std::uint64_t* low_bits) {
  using Wide = DeltaWide<U>;
  const Wide float_mask = layout.is_float ? kDeltaMask<U> : 0;
  const unsigned mantissa_bits = layout.mantissa_bits;
  const DeltaLanes<U> to(plain, count), from(predicted, count), context(base, count);
  alignas(64) Wide symbol[kDeltaSegment], low[kDeltaSegment];
  alignas(64) Wide sizes[kDeltaSegment], levels[kDeltaSegment];
  for (std::size_t i = 0; i < kDeltaSegment; ++i) {
    const Wide difference =
        (delta_ordered<U>(to.at[i], float_mask) - delta_ordered<U>(from.at[i], float_mask)) &
        kDeltaMask<U>;
    const Wide negative = difference >> kDeltaTopBit<U>;
    const Wide magnitude = ((difference ^ (Wide{0} - negative)) + negative) & kDeltaMask<U>;
    const Wide size = delta_class(magnitude);
    const Wide below = size < 2 ? 0 : size - 2;
    const Wide large = 3 + 4 * below + 2 * (magnitude >> below & 1) + negative;
    symbol[i] = size < 2 ? size + (size & negative) : large;
    low[i] = magnitude & ((Wide{1} << below) - 1);
    sizes[i] = size;
    const Wide level = size + delta_exponent<U>(context.at[i], mantissa_bits, float_mask);
    levels[i] = size == 0 ? 0 : level;
  }
  Wide changed = 0, class_sum = 0, level_sum = 0;
  for (std::size_t i = 0; i < kDeltaSegment; ++i) class_sum += sizes[i];
  for (std::size_t i = 0; i < kDeltaSegment; ++i) level_sum += levels[i];
  for (std::size_t i = 0; i < kDeltaSegment; ++i) changed += std::min<Wide>(sizes[i], 1);
  for (std::size_t i = 0; i < count; ++i) symbols[i] = static_cast<std::uint8_t>(symbol[i]);
  for (std::size_t i = 0; i < count; ++i) low_bits[i] = low[i];
  return {static_cast<std::uint32_t>(changed), static_cast<std::uint32_t>(class_sum), level_sum};
}

template <typename U>
void contexts_as(const DeltaLayout& layout, const std::byte* base, std::size_t count, int level,
                 std::uint8_t* contexts) {
  using Wide = DeltaWide<U>;
  const Wide float_mask = layout.is_float ? kDeltaMask<U> : 0;
  const unsigned mantissa_bits = layout.mantissa_bits;
  const DeltaLanes<U> from(base, count);
  alignas(64) std::int32_t context[kDeltaSegment];
  for (std::size_t i = 0; i < kDeltaSegment; ++i) {
    const auto exponent =
        static_cast<std::int32_t>(delta_exponent<U>(from.at[i], mantissa_bits, float_mask));
    context[i] = std::clamp(level - exponent, 0, static_cast<int>(kDeltaContexts) - 1);
  }
  for (std::size_t i = 0; i < count; ++i) contexts[i] = static_cast<std::uint8_t>(context[i]);
}

template <typename U>
void restore_as(const DeltaLayout& layout, const std::byte* predicted, const std::uint8_t* symbols,
                const std::uint64_t* low_bits, std::size_t count, std::byte* plain) {
  using Wide = DeltaWide<U>;
  const Wide float_mask = layout.is_float ? kDeltaMask<U> : 0;
  const DeltaLanes<U> from(predicted, count);
  alignas(64) Wide symbol[kDeltaSegment] = {}, low[kDeltaSegment] = {};
  for (std::size_t i = 0; i < count; ++i) symbol[i] = symbols[i];
  for (std::size_t i = 0; i < count; ++i) low[i] = static_cast<Wide>(low_bits[i]);
  alignas(64) U out[kDeltaSegment];
  for (std::size_t i = 0; i < kDeltaSegment; ++i) {
    const Wide large = symbol[i] < 3 ? 0 : symbol[i] - 3;
    // A damaged symbol may ask for more bits than there are: any value will do, no shift may.
    const Wide below = std::min<Wide>(large >> 2, std::numeric_limits<Wide>::digits - 1);
    const Wide far = (2 + (large >> 1 & 1)) << below | low[i];
    const Wide magnitude = symbol[i] < 3 ? (symbol[i] + 1) >> 1 : far;
    const Wide negative = symbol[i] < 3 ? symbol[i] >> 1 : large & 1;
    const Wide difference = (magnitude ^ (Wide{0} - negative)) + negative;
    const Wide order = (delta_ordered<U>(from.at[i], float_mask) + difference) & kDeltaMask<U>;
    out[i] = static_cast<U>(delta_unordered<U>(order, float_mask));
  }
  std::memcpy(plain, out, count * sizeof(U));
}

void scale_segment(const std::byte* base, std::size_t count, float scale, unsigned repeats,
                   std::byte* predicted) {
  const DeltaLanes<std::uint32_t> from(base, count);
  alignas(64) float value[kDeltaSegment];
  alignas(64) std::uint32_t out[kDeltaSegment];
  for (std::size_t i = 0; i < kDeltaSegment; ++i) {
    const std::uint32_t exponent = from.at[i] >> 23 & 0xFF;
    const bool scaled = exponent >= kScaledExponentMin && exponent <= kScaledExponentMax;
    value[i] = scaled ? std::bit_cast<float>(from.at[i]) : 1.0F;
    out[i] = scaled ? 0 : from.at[i];
  }
  for (unsigned k = 0; k < repeats; ++k) {
    for (std::size_t i = 0; i < kDeltaSegment; ++i) value[i] *= scale;
  }
  for (std::size_t i = 0; i < kDeltaSegment; ++i) {
    const std::uint32_t exponent = from.at[i] >> 23 & 0xFF;
    const bool scaled = exponent >= kScaledExponentMin && exponent <= kScaledExponentMax;
    out[i] = scaled ? std::bit_cast<std::uint32_t>(value[i]) : out[i];
  }
  std::memcpy(predicted, out, count * sizeof(std::uint32_t));
}

DeltaSegment measure_segment(const DeltaLayout& layout, const std::byte* plain,
                             const std::byte* predicted, const std::byte* base, std::size_t count,
                             std::uint8_t* symbols, std::uint64_t* low_bits) {
  const auto run = layout.element_bytes == 1   ? &measure_as<std::uint8_t>
                   : layout.element_bytes == 2 ? &measure_as<std::uint16_t>
                   : layout.element_bytes == 4 ? &measure_as<std::uint32_t>
                                               : &measure_as<std::uint64_t>;
  return run(layout, plain, predicted, base, count, symbols, low_bits);
}

void contexts_of_segment(const DeltaLayout& layout, const std::byte* base, std::size_t count,
                         int level, std::uint8_t* contexts) {
  const auto run = layout.element_bytes == 1   ? &contexts_as<std::uint8_t>
                   : layout.element_bytes == 2 ? &contexts_as<std::uint16_t>
                   : layout.element_bytes == 4 ? &contexts_as<std::uint32_t>
                                               : &contexts_as<std::uint64_t>;
  run(layout, base, count, level, contexts);
}

void restore_segment(const DeltaLayout& layout, const std::byte* predicted,
                     const std::uint8_t* symbols, const std::uint64_t* low_bits, std::size_t count,
                     std::byte* plain) {
  const auto run = layout.element_bytes == 1   ? &restore_as<std::uint8_t>
                   : layout.element_bytes == 2 ? &restore_as<std::uint16_t>
                   : layout.element_bytes == 4 ? &restore_as<std::uint32_t>
                                               : &restore_as<std::uint64_t>;
  run(layout, predicted, symbols, low_bits, count, plain);
}

}  // namespace kilter::store::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace kilter::store {

HWY_EXPORT(scale_segment);
HWY_EXPORT(measure_segment);
HWY_EXPORT(contexts_of_segment);
HWY_EXPORT(restore_segment);

void delta_scale(const std::byte* base, std::size_t count, float scale, unsigned repeats,
                 std::byte* predicted) {
  HWY_DYNAMIC_DISPATCH(scale_segment)(base, count, scale, repeats, predicted);
}

DeltaSegment delta_measure(const DeltaLayout& layout, const std::byte* plain,
                           const std::byte* predicted, const std::byte* base, std::size_t count,
                           std::uint8_t* symbols, std::uint64_t* low_bits) {
  return HWY_DYNAMIC_DISPATCH(measure_segment)(layout, plain, predicted, base, count, symbols,
                                               low_bits);
}

void delta_contexts(const DeltaLayout& layout, const std::byte* base, std::size_t count, int level,
                    std::uint8_t* contexts) {
  HWY_DYNAMIC_DISPATCH(contexts_of_segment)(layout, base, count, level, contexts);
}

void delta_restore(const DeltaLayout& layout, const std::byte* predicted,
                   const std::uint8_t* symbols, const std::uint64_t* low_bits, std::size_t count,
                   std::byte* plain) {
  HWY_DYNAMIC_DISPATCH(restore_segment)(layout, predicted, symbols, low_bits, count, plain);
}

}  // namespace kilter::store
#endif  // HWY_ONCE
