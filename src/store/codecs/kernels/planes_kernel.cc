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

// Planes are bytes, so the rotation is done on bytes: each takes the highest bit of the one below.
template <typename V>
HWY_INLINE V rotate_up(V byte, V below) {
  return hn::Or(hn::ShiftLeft<1>(byte), hn::ShiftRight<7>(below));
}
template <typename V>
HWY_INLINE V rotate_down(V byte, V above) {
  return hn::Or(hn::ShiftRight<1>(byte), hn::ShiftLeft<7>(above));
}

#if HWY_TARGET != HWY_SCALAR
/// Each does whole vectors of elements and returns how many elements.
std::size_t split_pairs(bool rotate, const std::uint8_t* from, std::size_t count,
                        std::uint8_t* const planes[kPlanesMax]) {
  const hn::ScalableTag<std::uint8_t> d;
  const std::size_t lanes = hn::Lanes(d);
  std::size_t i = 0;
  for (; count - i >= lanes; i += lanes) {
    hn::Vec<decltype(d)> low, high;
    hn::LoadInterleaved2(d, from + 2 * i, low, high);
    hn::StoreU(rotate ? rotate_up(low, high) : low, d, planes[0] + i);
    hn::StoreU(rotate ? rotate_up(high, low) : high, d, planes[1] + i);
  }
  return i;
}

std::size_t merge_pairs(bool rotate, const std::uint8_t* const planes[kPlanesMax],
                        std::size_t count, std::uint8_t* to) {
  const hn::ScalableTag<std::uint8_t> d;
  const std::size_t lanes = hn::Lanes(d);
  std::size_t i = 0;
  for (; count - i >= lanes; i += lanes) {
    const auto low = hn::LoadU(d, planes[0] + i), high = hn::LoadU(d, planes[1] + i);
    hn::StoreInterleaved2(rotate ? rotate_down(low, high) : low,
                          rotate ? rotate_down(high, low) : high, d, to + 2 * i);
  }
  return i;
}

std::size_t split_fours(bool rotate, const std::uint8_t* from, std::size_t count,
                        std::uint8_t* const planes[kPlanesMax]) {
  const hn::ScalableTag<std::uint8_t> d;
  const std::size_t lanes = hn::Lanes(d);
  std::size_t i = 0;
  for (; count - i >= lanes; i += lanes) {
    hn::Vec<decltype(d)> a, b, c, e;
    hn::LoadInterleaved4(d, from + 4 * i, a, b, c, e);
    hn::StoreU(rotate ? rotate_up(a, e) : a, d, planes[0] + i);
    hn::StoreU(rotate ? rotate_up(b, a) : b, d, planes[1] + i);
    hn::StoreU(rotate ? rotate_up(c, b) : c, d, planes[2] + i);
    hn::StoreU(rotate ? rotate_up(e, c) : e, d, planes[3] + i);
  }
  return i;
}

std::size_t merge_fours(bool rotate, const std::uint8_t* const planes[kPlanesMax],
                        std::size_t count, std::uint8_t* to) {
  const hn::ScalableTag<std::uint8_t> d;
  const std::size_t lanes = hn::Lanes(d);
  std::size_t i = 0;
  for (; count - i >= lanes; i += lanes) {
    const auto a = hn::LoadU(d, planes[0] + i), b = hn::LoadU(d, planes[1] + i);
    const auto c = hn::LoadU(d, planes[2] + i), e = hn::LoadU(d, planes[3] + i);
    if (rotate) {
      hn::StoreInterleaved4(rotate_down(a, b), rotate_down(b, c), rotate_down(c, e),
                            rotate_down(e, a), d, to + 4 * i);
    } else {
      hn::StoreInterleaved4(a, b, c, e, d, to + 4 * i);
    }
  }
  return i;
}

std::size_t split_vectors(const BytePlanes& layout, const std::uint8_t* from, std::size_t count,
                          std::uint8_t* const planes[kPlanesMax]) {
  if (layout.element_bytes == 2) return split_pairs(layout.rotate, from, count, planes);
  return layout.element_bytes == 4 ? split_fours(layout.rotate, from, count, planes) : 0;
}

std::size_t merge_vectors(const BytePlanes& layout, const std::uint8_t* const planes[kPlanesMax],
                          std::size_t count, std::uint8_t* to) {
  if (layout.element_bytes == 2) return merge_pairs(layout.rotate, planes, count, to);
  return layout.element_bytes == 4 ? merge_fours(layout.rotate, planes, count, to) : 0;
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

}  // namespace kilter::store::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace kilter::store {
namespace {

HWY_EXPORT(split_vectors);
HWY_EXPORT(merge_vectors);

template <typename U>
U rotate_left(U value) {
  return static_cast<U>(value << 1U) | static_cast<U>(value >> (8 * sizeof(U) - 1));
}
template <typename U>
U rotate_right(U value) {
  return static_cast<U>(value >> 1U) | static_cast<U>(value << (8 * sizeof(U) - 1));
}

template <typename U>
void split_elements(bool rotate, const std::byte* from, std::size_t first, std::size_t count,
                    std::uint8_t* const planes[kPlanesMax]) {
  for (std::size_t i = first; i < count; ++i) {
    U value;
    std::memcpy(&value, from + i * sizeof(U), sizeof(U));
    if (rotate) value = rotate_left(value);
    for (std::size_t k = 0; k < sizeof(U); ++k) {
      planes[k][i] = static_cast<std::uint8_t>(value >> (8 * k));
    }
  }
}

template <typename U>
void merge_elements(bool rotate, const std::uint8_t* const planes[kPlanesMax], std::size_t first,
                    std::size_t count, std::byte* to) {
  for (std::size_t i = first; i < count; ++i) {
    U value = 0;
    for (std::size_t k = 0; k < sizeof(U); ++k) {
      value = static_cast<U>(value | static_cast<U>(U{planes[k][i]} << (8 * k)));
    }
    if (rotate) value = rotate_right(value);
    std::memcpy(to + i * sizeof(U), &value, sizeof(U));
  }
}

void split_rest(const BytePlanes& layout, const std::byte* from, std::size_t first,
                std::size_t count, std::uint8_t* const planes[kPlanesMax]) {
  const bool rotate = layout.rotate;
  if (layout.element_bytes == 1) {
    return split_elements<std::uint8_t>(rotate, from, first, count, planes);
  }
  if (layout.element_bytes == 2) {
    return split_elements<std::uint16_t>(rotate, from, first, count, planes);
  }
  if (layout.element_bytes == 4) {
    return split_elements<std::uint32_t>(rotate, from, first, count, planes);
  }
  split_elements<std::uint64_t>(rotate, from, first, count, planes);
}

void merge_rest(const BytePlanes& layout, const std::uint8_t* const planes[kPlanesMax],
                std::size_t first, std::size_t count, std::byte* to) {
  const bool rotate = layout.rotate;
  if (layout.element_bytes == 1) {
    return merge_elements<std::uint8_t>(rotate, planes, first, count, to);
  }
  if (layout.element_bytes == 2) {
    return merge_elements<std::uint16_t>(rotate, planes, first, count, to);
  }
  if (layout.element_bytes == 4) {
    return merge_elements<std::uint32_t>(rotate, planes, first, count, to);
  }
  merge_elements<std::uint64_t>(rotate, planes, first, count, to);
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

}  // namespace kilter::store
#endif  // HWY_ONCE
