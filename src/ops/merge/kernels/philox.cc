#include "ops/merge/kernels/philox.h"

#include <algorithm>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/merge/kernels/philox.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#ifndef KILTER_PHILOX_ONCE_
#define KILTER_PHILOX_ONCE_
namespace kilter::ops {

inline constexpr std::uint32_t kPhiloxA = 0xD2511F53, kPhiloxB = 0xCD9E8D57;
inline constexpr std::uint32_t kWeylA = 0x9E3779B9, kWeylB = 0xBB67AE85;
inline constexpr int kPhiloxRounds = 10;
inline constexpr std::size_t kPhiloxChains = 4;

}  // namespace kilter::ops
#endif

HWY_BEFORE_NAMESPACE();
namespace kilter::ops::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR
void philox_lanes(PhiloxKey key, std::uint32_t stream, std::uint64_t block, std::size_t count,
                  std::uint64_t* out) {
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t at = block + i;
    const std::uint32_t counter[4] = {static_cast<std::uint32_t>(at),
                                      static_cast<std::uint32_t>(at >> 32), stream, 0};
    std::uint32_t words[4];
    philox_block(key, counter, words);
    std::memcpy(out + 2 * i, words, sizeof(words));
  }
}

void spread_lanes(const std::uint64_t* blocks, std::size_t count, std::uint32_t* out) {
  for (std::size_t i = 0; i < count; ++i) {
    std::uint32_t words[4];
    std::memcpy(words, blocks + 2 * i, sizeof(words));
    for (std::size_t place = 0; place < 8; ++place)
      out[8 * i + place] = random_bits_of(words, place);
  }
}
#else
/// Blocks [block, block + count); `count` is a multiple of kPhiloxChains times the lanes. Each lane
/// of 64 bits holds a word in its lower half; what stands above it is never multiplied. A block's
/// rounds wait for each other: several chains of them keep the multiplier busy.
void philox_lanes(PhiloxKey key, std::uint32_t stream, std::uint64_t block, std::size_t count,
                  std::uint64_t* out) {
  const hn::ScalableTag<std::uint64_t> wide;
  const hn::Repartition<std::uint32_t, decltype(wide)> narrow;
  using Words = hn::Vec<decltype(wide)>;
  const auto low_half = hn::Set(wide, 0xFFFFFFFFULL);
  const auto a = hn::BitCast(narrow, hn::Set(wide, std::uint64_t{kPhiloxA}));
  const auto b = hn::BitCast(narrow, hn::Set(wide, std::uint64_t{kPhiloxB}));
  const auto round = [&](Words& c0, Words& c1, Words& c2, Words& c3, Words k0, Words k1) HWY_ATTR {
    const auto left = hn::MulEven(hn::BitCast(narrow, c0), a);
    const auto right = hn::MulEven(hn::BitCast(narrow, c2), b);
    c0 = hn::Xor(hn::Xor(hn::ShiftRight<32>(right), c1), k0);
    c2 = hn::Xor(hn::Xor(hn::ShiftRight<32>(left), c3), k1);
    c1 = right;
    c3 = left;
  };
  const auto store = [&](Words c0, Words c1, Words c2, Words c3, std::uint64_t* to) HWY_ATTR {
    hn::StoreInterleaved2(hn::Or(hn::And(c0, low_half), hn::ShiftLeft<32>(c1)),
                          hn::Or(hn::And(c2, low_half), hn::ShiftLeft<32>(c3)), wide, to);
  };
  const std::size_t lanes = hn::Lanes(wide);
  for (std::size_t i = 0; i < count; i += kPhiloxChains * lanes) {
    auto p0 = hn::Iota(wide, block + i), q0 = hn::Iota(wide, block + i + lanes);
    auto r0 = hn::Iota(wide, block + i + 2 * lanes), s0 = hn::Iota(wide, block + i + 3 * lanes);
    auto p1 = hn::ShiftRight<32>(p0), q1 = hn::ShiftRight<32>(q0);
    auto r1 = hn::ShiftRight<32>(r0), s1 = hn::ShiftRight<32>(s0);
    auto p2 = hn::Set(wide, std::uint64_t{stream}), q2 = p2, r2 = p2, s2 = p2;
    auto p3 = hn::Zero(wide), q3 = p3, r3 = p3, s3 = p3;
    std::uint32_t low = key.low, high = key.high;
    for (int n = 0; n < kPhiloxRounds; ++n) {
      const auto k0 = hn::Set(wide, std::uint64_t{low}), k1 = hn::Set(wide, std::uint64_t{high});
      round(p0, p1, p2, p3, k0, k1);
      round(q0, q1, q2, q3, k0, k1);
      round(r0, r1, r2, r3, k0, k1);
      round(s0, s1, s2, s3, k0, k1);
      low += kWeylA;
      high += kWeylB;
    }
    store(p0, p1, p2, p3, out + 2 * i);
    store(q0, q1, q2, q3, out + 2 * (i + lanes));
    store(r0, r1, r2, r3, out + 2 * (i + 2 * lanes));
    store(s0, s1, s2, s3, out + 2 * (i + 3 * lanes));
  }
}

/// Each word of 16 bits, with the one behind it below.
void spread_lanes(const std::uint64_t* blocks, std::size_t count, std::uint32_t* out) {
  const hn::CappedTag<std::uint16_t, 8> tag;
  const hn::Repartition<std::uint8_t, decltype(tag)> bytes;
  for (std::size_t i = 0; i < count; ++i) {
    const auto words = hn::LoadU(tag, reinterpret_cast<const std::uint16_t*>(blocks + 2 * i));
    const auto plain = hn::BitCast(bytes, words);
    const auto behind = hn::BitCast(tag, hn::CombineShiftRightBytes<2>(bytes, plain, plain));
    auto* const to = reinterpret_cast<std::uint16_t*>(out + 8 * i);
    hn::StoreU(hn::InterleaveLower(tag, behind, words), tag, to);
    hn::StoreU(hn::InterleaveUpper(tag, behind, words), tag, to + 8);
  }
}
#endif

}  // namespace kilter::ops::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace kilter::ops {
namespace {

HWY_EXPORT(philox_lanes);
HWY_EXPORT(spread_lanes);

constexpr std::size_t kPhiloxBlocks = 128;  // a multiple of every processor's lanes and chains
constexpr std::size_t kBlockElements = 8;

}  // namespace

void random_bits(PhiloxKey key, std::uint32_t stream, std::uint64_t first, std::size_t count,
                 std::uint32_t* out) {
  std::uint64_t blocks[2 * kPhiloxBlocks];
  std::uint32_t bits[kBlockElements * kPhiloxBlocks];
  while (count > 0) {
    const auto skip = static_cast<std::size_t>(first % kBlockElements);
    const std::size_t some = std::min(count, kBlockElements * kPhiloxBlocks - skip);
    const std::size_t used = (skip + some + kBlockElements - 1) / kBlockElements;
    const std::size_t rounded = (used + 31) / 32 * 32;
    HWY_DYNAMIC_DISPATCH(philox_lanes)(key, stream, first / kBlockElements, rounded, blocks);
    const bool direct = skip == 0 && some % kBlockElements == 0;
    HWY_DYNAMIC_DISPATCH(spread_lanes)(blocks, used, direct ? out : bits);
    if (!direct) std::memcpy(out, bits + skip, some * sizeof(bits[0]));
    out += some;
    first += some;
    count -= some;
  }
}

std::uint32_t random_bits_of(const std::uint32_t block[4], std::size_t place) {
  const auto word = [&](std::size_t i) { return block[i % 8 / 2] >> (i % 2 * 16) & 0xFFFF; };
  return word(place) << 16 | word(place + 1);
}

void philox_block(PhiloxKey key, const std::uint32_t counter[4], std::uint32_t out[4]) {
  std::uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
  for (int round = 0; round < kPhiloxRounds; ++round) {
    const std::uint64_t left = std::uint64_t{c0} * kPhiloxA, right = std::uint64_t{c2} * kPhiloxB;
    c0 = static_cast<std::uint32_t>(right >> 32) ^ c1 ^ key.low;
    c2 = static_cast<std::uint32_t>(left >> 32) ^ c3 ^ key.high;
    c1 = static_cast<std::uint32_t>(right);
    c3 = static_cast<std::uint32_t>(left);
    key.low += kWeylA;
    key.high += kWeylB;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

}  // namespace kilter::ops
#endif  // HWY_ONCE
