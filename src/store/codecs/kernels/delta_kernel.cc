#include "store/codecs/kernels/delta_kernel.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <type_traits>

// These loops are plain: compiled once for each instruction set, the compiler makes vectors of
// them.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "store/codecs/kernels/delta_kernel.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace kilter::store::HWY_NAMESPACE {

template <typename U>
inline constexpr unsigned kDeltaWidth = std::numeric_limits<U>::digits;

/// What the loops compute in: no narrower than int, or the language would promote to signed.
template <typename U>
using DeltaWide = std::conditional_t<(sizeof(U) < 4), std::uint32_t, U>;

template <typename U>
HWY_INLINE U delta_load(const std::byte* from, std::size_t i) {
  U value;
  std::memcpy(&value, from + i * sizeof(U), sizeof(U));
  return value;
}

/// Floats in the order of their values: all bits of negatives flipped, the sign of the others.
template <typename U>
HWY_INLINE U delta_ordered(U bits, U float_mask) {
  const U top = static_cast<U>(U{1} << (kDeltaWidth<U> - 1));
  const U negative = static_cast<U>(-static_cast<DeltaWide<U>>(bits >> (kDeltaWidth<U> - 1)));
  return static_cast<U>(bits ^ ((negative | top) & float_mask));
}
template <typename U>
HWY_INLINE U delta_unordered(U order, U float_mask) {
  const U top = static_cast<U>(U{1} << (kDeltaWidth<U> - 1));
  const U negative = static_cast<U>(static_cast<DeltaWide<U>>(order >> (kDeltaWidth<U> - 1)) - 1U);
  return static_cast<U>(order ^ ((negative | top) & float_mask));
}

/// How many bits the magnitude has: the exponent of a float that cannot have rounded up, because
/// the bit below the highest is cleared.
HWY_INLINE std::uint32_t delta_class(std::uint32_t magnitude) {
  const auto value = static_cast<float>(static_cast<std::int32_t>(magnitude & ~(magnitude >> 1)));
  const std::uint32_t exponent = std::bit_cast<std::uint32_t>(value) >> 23 & 0xFF;
  return magnitude == 0 ? 0 : exponent - 126;
}
HWY_INLINE std::uint32_t delta_class(std::uint64_t magnitude) {
  return static_cast<std::uint32_t>(std::bit_width(magnitude));
}

template <typename U>
HWY_INLINE std::uint32_t delta_exponent(U bits, unsigned mantissa_bits) {
  return static_cast<std::uint32_t>(static_cast<U>(bits << 1U) >> (mantissa_bits + 1));
}

template <typename U>
DeltaSegment measure_as(const DeltaLayout& layout, const std::byte* plain,
                        const std::byte* predicted, const std::byte* base, std::size_t count,
                        std::uint8_t* symbols, std::uint64_t* magnitudes) {
  using Wide = DeltaWide<U>;
  const U float_mask = layout.is_float ? std::numeric_limits<U>::max() : U{0};
  const std::uint32_t exponent_mask = layout.is_float ? ~0U : 0U;
  std::uint32_t changed = 0, class_sum = 0, level_sum = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const U to = delta_ordered<U>(delta_load<U>(plain, i), float_mask);
    const U from = delta_ordered<U>(delta_load<U>(predicted, i), float_mask);
    const U difference = static_cast<U>(to - from);
    const std::uint32_t negative = static_cast<std::uint32_t>(difference >> (kDeltaWidth<U> - 1));
    const Wide magnitude = static_cast<U>(negative != 0 ? U{0} - difference : difference);
    const std::uint32_t size = delta_class(magnitude);
    const std::uint32_t below = size < 2 ? 0 : size - 2;
    const auto half = static_cast<std::uint32_t>(magnitude >> below) & 1U;
    const std::uint32_t large = 3 + 4 * below + 2 * half + negative;
    symbols[i] = static_cast<std::uint8_t>(size < 2 ? size + (size & negative) : large);
    magnitudes[i] = magnitude;
    const std::uint32_t exponent =
        delta_exponent<U>(delta_load<U>(base, i), layout.mantissa_bits) & exponent_mask;
    changed += size != 0;
    class_sum += size;
    level_sum += size != 0 ? size + exponent : 0;
  }
  return {changed, class_sum, level_sum};
}

template <typename U>
void contexts_as(const DeltaLayout& layout, const std::byte* base, std::size_t count, int level,
                 std::uint8_t* contexts) {
  const std::uint32_t exponent_mask = layout.is_float ? ~0U : 0U;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t exponent =
        delta_exponent<U>(delta_load<U>(base, i), layout.mantissa_bits) & exponent_mask;
    const int context = level - static_cast<int>(exponent);
    contexts[i] =
        static_cast<std::uint8_t>(std::clamp(context, 0, static_cast<int>(kDeltaContexts) - 1));
  }
}

template <typename U>
void restore_as(const DeltaLayout& layout, const std::byte* predicted, const std::uint8_t* symbols,
                const std::uint64_t* bits, std::size_t count, std::byte* plain) {
  using Wide = DeltaWide<U>;
  const U float_mask = layout.is_float ? std::numeric_limits<U>::max() : U{0};
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t symbol = symbols[i];
    const std::uint32_t large = symbol < 3 ? 0 : symbol - 3;
    // A damaged symbol may ask for more bits than there are: any value will do, no shift may.
    const std::uint32_t below = std::min<std::uint32_t>(large >> 2, kDeltaWidth<Wide> - 1);
    const Wide high = static_cast<Wide>(Wide{2 + (large >> 1 & 1)} << below);
    const Wide magnitude = symbol < 3 ? Wide{symbol != 0} : high | static_cast<Wide>(bits[i]);
    const bool negative = symbol < 3 ? symbol == 2 : (large & 1) != 0;
    const U difference = static_cast<U>(negative ? Wide{0} - magnitude : magnitude);
    const U from = delta_ordered<U>(delta_load<U>(predicted, i), float_mask);
    const U value = delta_unordered<U>(static_cast<U>(from + difference), float_mask);
    std::memcpy(plain + i * sizeof(U), &value, sizeof(U));
  }
}

void scale_segment(const std::byte* base, std::size_t count, float scale, unsigned repeats,
                   std::byte* predicted) {
  for (std::size_t i = 0; i < count; ++i) {
    const auto bits = delta_load<std::uint32_t>(base, i);
    float value = std::bit_cast<float>(bits);
    for (unsigned k = 0; k < repeats; ++k) value *= scale;
    const std::uint32_t exponent = bits >> 23 & 0xFF;
    const bool scaled = exponent >= kScaledExponentMin && exponent <= kScaledExponentMax;
    const std::uint32_t out = scaled ? std::bit_cast<std::uint32_t>(value) : bits;
    std::memcpy(predicted + 4 * i, &out, 4);
  }
}

DeltaSegment measure_segment(const DeltaLayout& layout, const std::byte* plain,
                             const std::byte* predicted, const std::byte* base, std::size_t count,
                             std::uint8_t* symbols, std::uint64_t* magnitudes) {
  const auto run = layout.element_bytes == 1   ? &measure_as<std::uint8_t>
                   : layout.element_bytes == 2 ? &measure_as<std::uint16_t>
                   : layout.element_bytes == 4 ? &measure_as<std::uint32_t>
                                               : &measure_as<std::uint64_t>;
  return run(layout, plain, predicted, base, count, symbols, magnitudes);
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
                     const std::uint8_t* symbols, const std::uint64_t* bits, std::size_t count,
                     std::byte* plain) {
  const auto run = layout.element_bytes == 1   ? &restore_as<std::uint8_t>
                   : layout.element_bytes == 2 ? &restore_as<std::uint16_t>
                   : layout.element_bytes == 4 ? &restore_as<std::uint32_t>
                                               : &restore_as<std::uint64_t>;
  run(layout, predicted, symbols, bits, count, plain);
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
                           std::uint8_t* symbols, std::uint64_t* magnitudes) {
  return HWY_DYNAMIC_DISPATCH(measure_segment)(layout, plain, predicted, base, count, symbols,
                                               magnitudes);
}

void delta_contexts(const DeltaLayout& layout, const std::byte* base, std::size_t count, int level,
                    std::uint8_t* contexts) {
  HWY_DYNAMIC_DISPATCH(contexts_of_segment)(layout, base, count, level, contexts);
}

void delta_restore(const DeltaLayout& layout, const std::byte* predicted,
                   const std::uint8_t* symbols, const std::uint64_t* bits, std::size_t count,
                   std::byte* plain) {
  HWY_DYNAMIC_DISPATCH(restore_segment)(layout, predicted, symbols, bits, count, plain);
}

}  // namespace kilter::store
#endif  // HWY_ONCE
