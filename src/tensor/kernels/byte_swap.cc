#include "tensor/kernels/byte_swap.h"

#include <cstring>

#include "base/try.h"

// Highway compiles this file once for each instruction set and chooses when the program runs.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tensor/kernels/byte_swap.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace kilter::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// For each unit: which byte of its 16-byte block each byte of the result comes from.
alignas(16) constexpr std::uint8_t kOrder2[16] = {1, 0, 3,  2,  5,  4,  7,  6,
                                                  9, 8, 11, 10, 13, 12, 15, 14};
alignas(16) constexpr std::uint8_t kOrder4[16] = {3,  2,  1, 0, 7,  6,  5,  4,
                                                  11, 10, 9, 8, 15, 14, 13, 12};
alignas(16) constexpr std::uint8_t kOrder8[16] = {7,  6,  5,  4,  3,  2,  1, 0,
                                                  15, 14, 13, 12, 11, 10, 9, 8};

inline const std::uint8_t* order_of(std::uint32_t unit_bytes) {
  if (unit_bytes == 2) return kOrder2;
  return unit_bytes == 4 ? kOrder4 : kOrder8;
}

/// Swaps whole vectors from `from` to `to`, which may be equal; returns how many bytes it did.
std::size_t swap_vectors(const std::uint8_t* from, std::uint8_t* to, std::size_t size_bytes,
                         std::uint32_t unit_bytes) {
#if HWY_TARGET == HWY_SCALAR
  (void)from, (void)to, (void)size_bytes, (void)unit_bytes;
  return 0;
#else
  const hn::ScalableTag<std::uint8_t> d;
  const auto order = hn::LoadDup128(d, order_of(unit_bytes));
  const std::size_t lanes = hn::Lanes(d);
  std::size_t i = 0;
  for (; size_bytes - i >= lanes; i += lanes) {
    hn::StoreU(hn::TableLookupBytes(hn::LoadU(d, from + i), order), d, to + i);
  }
  return i;
#endif
}

}  // namespace kilter::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace kilter {
namespace {

HWY_EXPORT(swap_vectors);

template <std::size_t kUnit>
void swap_units(const std::byte* from, std::byte* to, std::size_t size_bytes) {
  for (std::size_t i = 0; i < size_bytes; i += kUnit) {
    std::byte unit[kUnit];
    std::memcpy(unit, from + i, kUnit);
    for (std::size_t j = 0; j < kUnit; ++j) to[i + j] = unit[kUnit - 1 - j];
  }
}

void swap_rest(const std::byte* from, std::byte* to, std::size_t size_bytes,
               std::uint32_t unit_bytes) {
  KILTER_CHECK(size_bytes % unit_bytes == 0);
  if (unit_bytes == 2) return swap_units<2>(from, to, size_bytes);
  if (unit_bytes == 4) return swap_units<4>(from, to, size_bytes);
  KILTER_CHECK(unit_bytes == 8);
  swap_units<8>(from, to, size_bytes);
}

void swap(const std::byte* from, std::byte* to, std::size_t size_bytes, std::uint32_t unit_bytes) {
  const std::size_t done = HWY_DYNAMIC_DISPATCH(swap_vectors)(
      reinterpret_cast<const std::uint8_t*>(from), reinterpret_cast<std::uint8_t*>(to), size_bytes,
      unit_bytes);
  swap_rest(from + done, to + done, size_bytes - done, unit_bytes);
}

}  // namespace

void byte_swap(std::span<std::byte> bytes, std::uint32_t unit_bytes) {
  if (unit_bytes == 1) return;
  swap(bytes.data(), bytes.data(), bytes.size(), unit_bytes);
}

void byte_swap_copy(std::span<const std::byte> from, std::span<std::byte> to,
                    std::uint32_t unit_bytes) {
  KILTER_CHECK(from.size() == to.size());
  if (unit_bytes == 1) {
    if (!from.empty()) std::memcpy(to.data(), from.data(), from.size());
    return;
  }
  swap(from.data(), to.data(), from.size(), unit_bytes);
}

void byte_swap_reference(std::span<std::byte> bytes, std::uint32_t unit_bytes) {
  if (unit_bytes == 1) return;
  swap_rest(bytes.data(), bytes.data(), bytes.size(), unit_bytes);
}

}  // namespace kilter
#endif  // HWY_ONCE
