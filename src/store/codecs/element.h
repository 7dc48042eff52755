// How elements look in bits: what the forms need to know of each type.
#pragma once

#include <cstdint>
#include <cstring>

#include "store/codecs/codec.h"
#include "store/codecs/kernels/delta_kernel.h"

namespace kilter::store {

/// Elements are coded in runs of this many; what a run has in common is said once.
inline constexpr std::size_t kSegmentElements = kDeltaSegment;

inline std::size_t count_segments(std::size_t elements) {
  return (elements + kSegmentElements - 1) / kSegmentElements;
}

/// Whether the highest bit is a sign and an exponent follows it.
constexpr bool is_float(Element element) {
  return element >= Element::kBf16 && element <= Element::kF8E5M2;
}

/// Bits below the exponent; 0 for integers and bytes.
constexpr unsigned mantissa_bits(Element element) {
  constexpr unsigned kBits[kElementCount] = {0, 7, 10, 23, 52, 3, 2, 0, 0, 0};
  return kBits[static_cast<std::size_t>(element)];
}

/// Calls `f` with a zero of the unsigned type as wide as the element and returns what it returns.
template <typename F>
auto with_unsigned(Element element, F&& f) {
  switch (element_bytes(element)) {
    case 1:
      return f(std::uint8_t{0});
    case 2:
      return f(std::uint16_t{0});
    case 4:
      return f(std::uint32_t{0});
    default:
      return f(std::uint64_t{0});
  }
}

template <typename U>
U load_element(const std::byte* from) {
  U value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <typename U>
void store_element(std::byte* to, U value) {
  std::memcpy(to, &value, sizeof value);
}

}  // namespace kilter::store
