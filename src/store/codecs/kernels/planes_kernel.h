// Elements to byte planes and back. Source: spec/store-forms.md, Exponent.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kilter::store {

inline constexpr std::size_t kPlanesMax = 8;

/// Byte planes of elements of 1, 2, 4 or 8 bytes: plane[k] holds byte k (0 the lowest) of each
/// element, after a rotation to the left by `rotation` bits (below 8). Elements need no alignment.
struct BytePlanes {
  std::size_t element_bytes = 0;
  unsigned rotation = 0;
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

/// Bits 1 to 7 of each byte, packed lowest first: (7 * count + 7) / 8 bytes. `out` has room for 16
/// more.
void pack_sevens(const std::uint8_t* plane, std::size_t count, std::uint8_t* out);

/// The bytes back, with bit 0 as in `low` (0 or 1). Reads no more than those bytes, or with
/// `more_behind` up to eight more.
void unpack_sevens(const std::uint8_t* packed, std::size_t count, std::uint8_t low,
                   std::uint8_t* plane, bool more_behind = false);

}  // namespace kilter::store
