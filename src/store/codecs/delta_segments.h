// What both ways of the delta form share. Source: spec/store-forms.md, Delta.
#pragma once

#include <algorithm>

#include "store/codecs/bit_stream.h"
#include "store/codecs/delta_prediction.h"
#include "store/codecs/element.h"

namespace kilter::store {

// A segment's byte: bit 0 says which prediction, the rest its level from the chunk's lowest;
// 0 there means that nothing differs.
inline constexpr int kLevelsMax = 127;

/// A run of elements cut into segments.
struct SegmentedRun {
  SegmentedRun(Element element, std::size_t plain_bytes)
      : layout{element_bytes(element), is_float(element), mantissa_bits(element)},
        elements(plain_bytes / layout.element_bytes),
        segments(count_segments(elements)) {}

  std::size_t first_byte(std::size_t segment) const {
    return segment * kSegmentElements * layout.element_bytes;
  }
  /// Elements of a segment.
  std::size_t count(std::size_t segment) const {
    return std::min(kSegmentElements, elements - segment * kSegmentElements);
  }

  DeltaLayout layout;
  std::size_t elements, segments;
};

/// Whether any of the symbols is followed by bits: in most segments of a slow change none is.
inline bool any_low_bits(const std::uint8_t* symbols, std::size_t count) {
  std::uint8_t most = 0;
  for (std::size_t i = 0; i < count; ++i) most = std::max(most, symbols[i]);
  return delta_extra_bits(most) > 0;
}

}  // namespace kilter::store
