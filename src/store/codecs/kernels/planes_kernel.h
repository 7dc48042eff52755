// Elements to byte planes and back. Source: spec/store-forms.md, Exponent.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kilter::store {

inline constexpr std::size_t kPlanesMax = 8;

/// Byte planes of elements of 1, 2, 4 or 8 bytes: plane[k] holds byte k (0 the lowest) of each
/// element, after a rotation to the left by one bit if `rotate`. Elements need no alignment.
struct BytePlanes {
  std::size_t element_bytes = 0;
  bool rotate = false;
};

void split_planes(const BytePlanes& layout, const std::byte* elements, std::size_t count,
                  std::uint8_t* const planes[kPlanesMax]);
void merge_planes(const BytePlanes& layout, const std::uint8_t* const planes[kPlanesMax],
                  std::size_t count, std::byte* elements);

/// One element at a time: the references.
void split_planes_reference(const BytePlanes& layout, const std::byte* elements, std::size_t count,
                            std::uint8_t* const planes[kPlanesMax]);
void merge_planes_reference(const BytePlanes& layout, const std::uint8_t* const planes[kPlanesMax],
                            std::size_t count, std::byte* elements);

}  // namespace kilter::store
