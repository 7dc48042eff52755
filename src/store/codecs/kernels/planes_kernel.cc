#include "store/codecs/kernels/planes_kernel.h"

#include <cstring>

// Highway compiles this file once for each instruction set and chooses when the program runs.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "store/codecs/kernels/planes_kernel.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace kilter::store::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Planes are bytes, so the rotation is done on bytes: each takes the highest bits of the one below.
template <int kRotation, typename V>
HWY_INLINE V rotate_up(V byte, V below) {
  if constexpr (kRotation == 0) return byte;
  return hn::Or(hn::ShiftLeft<kRotation>(byte), hn::ShiftRight < (8 - kRotation) & 7 > (below));
}
template <int kRotation, typename V>
HWY_INLINE V rotate_down(V byte, V above) {
  if constexpr (kRotation == 0) return byte;
  return hn::Or(hn::ShiftRight<kRotation>(byte), hn::ShiftLeft < (8 - kRotation) & 7 > (above));
}

#if HWY_TARGET != HWY_SCALAR
/// Each does whole vectors of elements and returns how many elements.
template <int kRotation>
std::size_t split_pairs(const std::uint8_t* from, std::size_t count,
                        std::uint8_t* const planes[kPlanesMax]) {
  const hn::ScalableTag<std::uint8_t> d;
  const std::size_t lanes = hn::Lanes(d);
  std::size_t i = 0;
  for (; count - i >= lanes; i += lanes) {
    hn::Vec<decltype(d)> low, high;
    hn::LoadInterleaved2(d, from + 2 * i, low, high);
    hn::StoreU(rotate_up<kRotation>(low, high), d, planes[0] + i);
    hn::StoreU(rotate_up<kRotation>(high, low), d, planes[1] + i);
  }
  return i;
}

template <int kRotation>
std::size_t merge_pairs(const std::uint8_t* const planes[kPlanesMax], std::size_t count,
                        std::uint8_t* to) {
  const hn::ScalableTag<std::uint8_t> d;
  const std::size_t lanes = hn::Lanes(d);
  std::size_t i = 0;
  for (; count - i >= lanes; i += lanes) {
    const auto low = hn::LoadU(d, planes[0] + i), high = hn::LoadU(d, planes[1] + i);
    hn::StoreInterleaved2(rotate_down<kRotation>(low, high), rotate_down<kRotation>(high, low), d,
                          to + 2 * i);
  }
  return i;
}

template <int kRotation>
std::size_t split_fours(const std::uint8_t* from, std::size_t count,
                        std::uint8_t* const planes[kPlanesMax]) {
  const hn::ScalableTag<std::uint8_t> d;
  const std::size_t lanes = hn::Lanes(d);
  std::size_t i = 0;
  for (; count - i >= lanes; i += lanes) {
    hn::Vec<decltype(d)> a, b, c, e;
    hn::LoadInterleaved4(d, from + 4 * i, a, b, c, e);
    hn::StoreU(rotate_up<kRotation>(a, e), d, planes[0] + i);
    hn::StoreU(rotate_up<kRotation>(b, a), d, planes[1] + i);
    hn::StoreU(rotate_up<kRotation>(c, b), d, planes[2] + i);
    hn::StoreU(rotate_up<kRotation>(e, c), d, planes[3] + i);
  }
  return i;
}

template <int kRotation>
std::size_t merge_fours(const std::uint8_t* const planes[kPlanesMax], std::size_t count,
                        std::uint8_t* to) {
  const hn::ScalableTag<std::uint8_t> d;
  const std::size_t lanes = hn::Lanes(d);
  std::size_t i = 0;
  for (; count - i >= lanes; i += lanes) {
    const auto a = hn::LoadU(d, planes[0] + i), b = hn::LoadU(d, planes[1] + i);
    const auto c = hn::LoadU(d, planes[2] + i), e = hn::LoadU(d, planes[3] + i);
    hn::StoreInterleaved4(rotate_down<kRotation>(a, b), rotate_down<kRotation>(b, c),
                          rotate_down<kRotation>(c, e), rotate_down<kRotation>(e, a), d,
                          to + 4 * i);
  }
  return i;
}

template <int kRotation>
std::size_t split_rotated(const BytePlanes& layout, const std::uint8_t* from, std::size_t count,
                          std::uint8_t* const planes[kPlanesMax]) {
  if (layout.element_bytes == 2) return split_pairs<kRotation>(from, count, planes);
  return layout.element_bytes == 4 ? split_fours<kRotation>(from, count, planes) : 0;
}

template <int kRotation>
std::size_t merge_rotated(const BytePlanes& layout, const std::uint8_t* const planes[kPlanesMax],
                          std::size_t count, std::uint8_t* to) {
  if (layout.element_bytes == 2) return merge_pairs<kRotation>(planes, count, to);
  return layout.element_bytes == 4 ? merge_fours<kRotation>(planes, count, to) : 0;
}

std::size_t split_vectors(const BytePlanes& layout, const std::uint8_t* from, std::size_t count,
                          std::uint8_t* const planes[kPlanesMax]) {
  if (layout.rotation == 0) return split_rotated<0>(layout, from, count, planes);
  if (layout.rotation == 1) return split_rotated<1>(layout, from, count, planes);
  return layout.rotation == 2 ? split_rotated<2>(layout, from, count, planes) : 0;
}

std::size_t merge_vectors(const BytePlanes& layout, const std::uint8_t* const planes[kPlanesMax],
                          std::size_t count, std::uint8_t* to) {
  if (layout.rotation == 0) return merge_rotated<0>(layout, planes, count, to);
  if (layout.rotation == 1) return merge_rotated<1>(layout, planes, count, to);
  return layout.rotation == 2 ? merge_rotated<2>(layout, planes, count, to) : 0;
}
#else
std::size_t split_vectors(const BytePlanes&, const std::uint8_t*, std::size_t,
                          std::uint8_t* const*) {
  return 0;
}
std::size_t merge_vectors(const BytePlanes&, const std::uint8_t* const*, std::size_t,
                          std::uint8_t*) {
  return 0;
}
#endif

// Eight sevens fill 56 bits: pairs of fields close up, then pairs of pairs, then the halves.
// Plain loops over words, which the compiler makes vectors of.
HWY_INLINE std::uint64_t close_sevens(std::uint64_t word) {
  word = word >> 1 & 0x7F7F7F7F7F7F7F7F;
  word = (word & 0x007F007F007F007F) | (word & 0x7F007F007F007F00) >> 1;
  word = (word & 0x00003FFF00003FFF) | (word & 0x3FFF00003FFF0000) >> 2;
  return (word & 0x000000000FFFFFFF) | (word & 0x0FFFFFFF00000000) >> 4;
}
HWY_INLINE std::uint64_t open_sevens(std::uint64_t word, std::uint64_t low) {
  word = (word & 0x000000000FFFFFFF) | (word & 0x00FFFFFFF0000000) << 4;
  word = (word & 0x00003FFF00003FFF) | (word & 0x0FFFC0000FFFC000) << 2;
  word = (word & 0x007F007F007F007F) | (word & 0x3F803F803F803F80) << 1;
  return word << 1 | low;
}

/// Whole groups of eight; returns how many bytes of the plane were done.
std::size_t pack_words(const std::uint8_t* plane, std::size_t count, std::uint8_t* out) {
  constexpr std::size_t kWords = 64;
  std::uint64_t words[kWords];
  std::size_t i = 0;
  for (; count - i >= 8 * kWords; i += 8 * kWords) {
    std::memcpy(words, plane + i, sizeof words);
    for (std::size_t w = 0; w < kWords; ++w) words[w] = close_sevens(words[w]);
    for (std::size_t w = 0; w < kWords; ++w, out += 7) std::memcpy(out, &words[w], 8);
  }
  return i;
}

/// The same back, as long as eight bytes can be read for seven.
std::size_t unpack_words(const std::uint8_t* packed, std::size_t count, std::uint8_t low,
                         std::uint8_t* plane, bool more_behind) {
  constexpr std::size_t kWords = 64;
  const std::uint64_t lows = low * std::uint64_t{0x0101010101010101};
  std::uint64_t words[kWords];
  std::size_t i = 0;
  const std::size_t least = 8 * kWords + (more_behind ? 0 : 8);
  for (; count - i >= least; i += 8 * kWords) {
    for (std::size_t w = 0; w < kWords; ++w, packed += 7) std::memcpy(&words[w], packed, 8);
    for (std::size_t w = 0; w < kWords; ++w) words[w] = open_sevens(words[w], lows);
    std::memcpy(plane + i, words, sizeof words);
  }
  return i;
}

}  // namespace kilter::store::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace kilter::store {
namespace {

HWY_EXPORT(split_vectors);
HWY_EXPORT(merge_vectors);
HWY_EXPORT(pack_words);
HWY_EXPORT(unpack_words);

template <typename U>
U rotate_left(U value, unsigned bits) {
  if (bits == 0) return value;
  return static_cast<U>(static_cast<U>(value << bits) | value >> (8 * sizeof(U) - bits));
}
template <typename U>
U rotate_right(U value, unsigned bits) {
  return bits == 0 ? value : rotate_left(value, static_cast<unsigned>(8 * sizeof(U)) - bits);
}

template <typename U>
void split_elements(unsigned rotation, const std::byte* from, std::size_t first, std::size_t count,
                    std::uint8_t* const planes[kPlanesMax]) {
  for (std::size_t i = first; i < count; ++i) {
    U value;
    std::memcpy(&value, from + i * sizeof(U), sizeof(U));
    value = rotate_left(value, rotation);
    for (std::size_t k = 0; k < sizeof(U); ++k) {
      planes[k][i] = static_cast<std::uint8_t>(value >> (8 * k));
    }
  }
}

template <typename U>
void merge_elements(unsigned rotation, const std::uint8_t* const planes[kPlanesMax],
                    std::size_t first, std::size_t count, std::byte* to) {
  for (std::size_t i = first; i < count; ++i) {
    U value = 0;
    for (std::size_t k = 0; k < sizeof(U); ++k) {
      value = static_cast<U>(value | static_cast<U>(U{planes[k][i]} << (8 * k)));
    }
    value = rotate_right(value, rotation);
    std::memcpy(to + i * sizeof(U), &value, sizeof(U));
  }
}

void split_rest(const BytePlanes& layout, const std::byte* from, std::size_t first,
                std::size_t count, std::uint8_t* const planes[kPlanesMax]) {
  const unsigned rotation = layout.rotation;
  if (layout.element_bytes == 1) {
    return split_elements<std::uint8_t>(rotation, from, first, count, planes);
  }
  if (layout.element_bytes == 2) {
    return split_elements<std::uint16_t>(rotation, from, first, count, planes);
  }
  if (layout.element_bytes == 4) {
    return split_elements<std::uint32_t>(rotation, from, first, count, planes);
  }
  split_elements<std::uint64_t>(rotation, from, first, count, planes);
}

void merge_rest(const BytePlanes& layout, const std::uint8_t* const planes[kPlanesMax],
                std::size_t first, std::size_t count, std::byte* to) {
  const unsigned rotation = layout.rotation;
  if (layout.element_bytes == 1) {
    return merge_elements<std::uint8_t>(rotation, planes, first, count, to);
  }
  if (layout.element_bytes == 2) {
    return merge_elements<std::uint16_t>(rotation, planes, first, count, to);
  }
  if (layout.element_bytes == 4) {
    return merge_elements<std::uint32_t>(rotation, planes, first, count, to);
  }
  merge_elements<std::uint64_t>(rotation, planes, first, count, to);
}

}  // namespace

void split_planes(const BytePlanes& layout, const std::byte* elements, std::size_t count,
                  std::uint8_t* const planes[kPlanesMax]) {
  const std::size_t done = HWY_DYNAMIC_DISPATCH(split_vectors)(
      layout, reinterpret_cast<const std::uint8_t*>(elements), count, planes);
  split_rest(layout, elements, done, count, planes);
}

void merge_planes(const BytePlanes& layout, const std::uint8_t* const planes[kPlanesMax],
                  std::size_t count, std::byte* elements) {
  const std::size_t done = HWY_DYNAMIC_DISPATCH(merge_vectors)(
      layout, planes, count, reinterpret_cast<std::uint8_t*>(elements));
  merge_rest(layout, planes, done, count, elements);
}

void split_planes_reference(const BytePlanes& layout, const std::byte* elements, std::size_t count,
                            std::uint8_t* const planes[kPlanesMax]) {
  split_rest(layout, elements, 0, count, planes);
}

void merge_planes_reference(const BytePlanes& layout, const std::uint8_t* const planes[kPlanesMax],
                            std::size_t count, std::byte* elements) {
  merge_rest(layout, planes, 0, count, elements);
}

void pack_sevens(const std::uint8_t* plane, std::size_t count, std::uint8_t* out) {
  std::size_t i = HWY_DYNAMIC_DISPATCH(pack_words)(plane, count, out);
  out += i / 8 * 7;
  std::uint32_t held = 0;
  unsigned bits = 0;
  for (; i < count; ++i) {
    held |= static_cast<std::uint32_t>(plane[i] >> 1) << bits;
    for (bits += 7; bits >= 8; bits -= 8, held >>= 8) *out++ = static_cast<std::uint8_t>(held);
  }
  if (bits > 0) *out = static_cast<std::uint8_t>(held);
}

void unpack_sevens(const std::uint8_t* packed, std::size_t count, std::uint8_t low,
                   std::uint8_t* plane, bool more_behind) {
  std::size_t i = HWY_DYNAMIC_DISPATCH(unpack_words)(packed, count, low, plane, more_behind);
  packed += i / 8 * 7;
  std::uint32_t held = 0;
  unsigned bits = 0;
  for (; i < count; ++i, bits -= 7, held >>= 7) {
    for (; bits < 7; bits += 8) held |= static_cast<std::uint32_t>(*packed++) << bits;
    plane[i] = static_cast<std::uint8_t>((held & 0x7F) << 1 | low);
  }
}

}  // namespace kilter::store
#endif  // HWY_ONCE
