// The steps of interleaved rANS on one vector of lanes, compiled for each instruction set.
#if defined(KILTER_RANS_VECTORS_INL_) == defined(HWY_TARGET_TOGGLE)
#ifdef KILTER_RANS_VECTORS_INL_
#undef KILTER_RANS_VECTORS_INL_
#else
#define KILTER_RANS_VECTORS_INL_
#endif

#include <hwy/highway.h>

#include <bit>
#include <cstring>

#include "store/codecs/kernels/rans_kernel.h"

#ifndef KILTER_RANS_SPREAD_
#define KILTER_RANS_SPREAD_
namespace kilter::store {

/// For each mask of eight lanes that take a word: which of the next eight words each takes.
struct RansSpread {
  constexpr RansSpread() {
    for (std::size_t mask = 0; mask < 256; ++mask) {
      std::uint8_t word = 0;
      for (std::size_t lane = 0; lane < 8; ++lane) {
        at[mask][lane] = word;
        if ((mask >> lane & 1) != 0) ++word;
      }
    }
  }
  alignas(8) std::uint8_t at[256][8] = {};
};
inline constexpr RansSpread kRansSpread{};

}  // namespace kilter::store
#endif  // KILTER_RANS_SPREAD_

HWY_BEFORE_NAMESPACE();
namespace kilter::store::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Below 256 bits a gather is eight loads and there is no shuffle across a vector: the reference
// does as well.
#undef KILTER_RANS_VECTORS
#define KILTER_RANS_VECTORS (HWY_TARGET != HWY_SCALAR && !HWY_HAVE_SCALABLE && HWY_MAX_BYTES >= 32)

#if KILTER_RANS_VECTORS
// Several vectors at once hide each other's gathers.
inline constexpr std::size_t kRansVectorLanes = HWY_MAX_BYTES >= 64 ? 16 : 8;
using RansTag32 = hn::FixedTag<std::uint32_t, kRansVectorLanes>;
using RansTag16 = hn::FixedTag<std::uint16_t, kRansVectorLanes>;
using RansTag8 = hn::FixedTag<std::uint8_t, kRansVectorLanes>;
using RansVector = hn::Vec<RansTag32>;
inline constexpr std::size_t kRansVectors = kRansLanes / kRansVectorLanes;

HWY_INLINE RansVector rans_load_bytes(const std::uint8_t* from) {
  return hn::PromoteTo(RansTag32(), hn::LoadU(RansTag8(), from));
}

// Tables are read by plain loads, two lanes to a word: where processors guard their gathers against
// leaking (Intel's before 2023) that is faster, and elsewhere no slower by much. A compiler that
// would put the pairs together in vectors does worse than either.
HWY_INLINE void rans_store_pair(std::uint32_t low, std::uint32_t high, std::uint32_t* to) {
  std::uint64_t pair = low | std::uint64_t{high} << 32;
#if defined(__GNUC__)
  asm("" : "+r"(pair));
#endif
  std::memcpy(to, &pair, sizeof pair);
}

HWY_INLINE void rans_look_up(const std::uint32_t* table, const std::uint32_t* slots,
                             std::uint32_t* entries) {
  for (std::size_t i = 0; i < kRansLanes; i += 2) {
    std::uint64_t pair = 0;
    std::memcpy(&pair, slots + i, sizeof pair);
    rans_store_pair(table[pair & 0xFFFFFFFF], table[pair >> 32], entries + i);
  }
}

/// For each lane of the mask, how many lanes of it come before: which of the next words it takes.
HWY_INLINE RansVector rans_ranks(const std::uint8_t* mask) {
#if HWY_MAX_BYTES >= 64
  std::uint64_t low = 0, high = 0;
  std::memcpy(&low, kRansSpread.at[mask[0]], sizeof low);
  std::memcpy(&high, kRansSpread.at[mask[1]], sizeof high);
  high += static_cast<std::uint64_t>(std::popcount(mask[0])) * 0x0101010101010101ULL;
  const hn::FixedTag<std::uint64_t, 2> d;
  const auto ranks = hn::InterleaveLower(d, hn::Set(d, low), hn::Set(d, high));
  return hn::PromoteTo(RansTag32(), hn::BitCast(RansTag8(), ranks));
#else
  return rans_load_bytes(kRansSpread.at[mask[0]]);
#endif
}

/// Gives the next words to the lanes whose state fell below the limit.
HWY_INLINE RansVector rans_refill(RansVector state, const std::byte*& next) {
  const RansTag32 d;
  const RansTag16 d16;
  const auto low = hn::Lt(state, hn::Set(d, kRansLow));
  std::uint8_t mask[kRansVectorLanes / 8] = {};
  hn::StoreMaskBits(d, low, mask);
  const hn::FixedTag<std::uint8_t, 2 * kRansVectorLanes> d_bytes;
  const auto words = hn::PromoteTo(
      d, hn::BitCast(d16, hn::LoadU(d_bytes, reinterpret_cast<const std::uint8_t*>(next))));
  const auto order = hn::IndicesFromVec(d, rans_ranks(mask));
  next += 2 * hn::CountTrue(d, low);
  const auto refilled = hn::Or(hn::ShiftLeft<16>(state), hn::TableLookupLanes(words, order));
  return hn::IfThenElse(low, refilled, state);
}

HWY_INLINE RansVector rans_slots(const RansCoding& coding, std::size_t symbol, RansVector state) {
  const auto slot = hn::And(state, hn::Set(RansTag32(), 0xFFF));
  if (coding.contexts == nullptr) return slot;
  return hn::Or(slot, hn::ShiftLeft<12>(rans_load_bytes(coding.contexts + symbol)));
}

HWY_INLINE RansVector rans_decode_vector(RansVector entry, RansVector state,
                                         std::uint8_t* symbols) {
  const RansTag32 d;
  hn::StoreU(hn::TruncateTo(RansTag8(), entry), RansTag8(), symbols);
  const auto frequency = hn::Add(hn::ShiftRight<20>(entry), hn::Set(d, 1));
  const auto offset = hn::And(hn::ShiftRight<8>(entry), hn::Set(d, 0xFFF));
  return hn::Add(hn::Mul(frequency, hn::ShiftRight<12>(state)), offset);
}

// While encoding, a vector's lanes lie in reverse: words come out last lane first.
HWY_INLINE RansVector rans_reverse(RansVector lanes) { return hn::Reverse(RansTag32(), lanes); }

/// Stores the low words of the lanes that would overflow and shifts them out.
HWY_INLINE RansVector rans_spill(RansVector state, RansVector frequency, std::uint16_t*& out) {
  const RansTag32 d;
  const RansTag16 d16;
  const auto high = hn::Not(hn::Lt(hn::ShiftRight<20>(state), frequency));
  const auto words = hn::Compress(hn::And(state, hn::Set(d, 0xFFFF)), high);
  hn::StoreU(hn::TruncateTo(d16, words), d16, out);
  out += hn::CountTrue(d, high);
  return hn::IfThenElse(high, hn::ShiftRight<16>(state), state);
}

/// 1 / frequency with a relative error below 2^-22: dividing takes longer than all else in a step.
template <typename V>
HWY_INLINE V rans_reciprocal(V frequency) {
  const hn::DFromV<V> d;
#if HWY_MAX_BYTES >= 64  // the guess is good for 14 bits, on other machines for fewer
  const auto guess = hn::ApproximateReciprocal(frequency);
  const auto error = hn::NegMulAdd(frequency, guess, hn::Set(d, 1.0F));
  return hn::MulAdd(guess, error, guess);
#else
  return hn::Div(hn::Set(d, 1.0F), frequency);
#endif
}

/// Quotient and remainder by way of floats. Adding 2^23 rounds the ratio, which is below 2^20 and
/// off by less than a quarter, to a quotient that is right or one too high; a negative remainder
/// tells. So the result is exact, whatever the machine's rounding.
HWY_INLINE RansVector rans_push(RansVector state, RansVector frequency, RansVector start) {
  const RansTag32 d;
  const hn::RebindToSigned<RansTag32> di;
  const hn::RebindToFloat<RansTag32> df;
  const auto one_part = rans_reciprocal(hn::ConvertTo(df, hn::BitCast(di, frequency)));
  const auto rounded = hn::MulAdd(hn::ConvertTo(df, state), one_part, hn::Set(df, 8388608.0F));
  const auto quotient = hn::And(hn::BitCast(d, rounded), hn::Set(d, 0x7FFFFF));
  const auto rest = hn::Sub(state, hn::Mul(quotient, frequency));
  const auto next = hn::Add(hn::ShiftLeft<12>(quotient), hn::Add(rest, start));
  const auto too_high = hn::RebindMask(d, hn::Lt(hn::BitCast(di, rest), hn::Zero(di)));
  const auto back = hn::Sub(hn::Set(d, 1U << 12), frequency);
  return hn::IfThenElse(too_high, hn::Sub(next, back), next);
}

HWY_INLINE std::uint64_t rans_eight_bytes(const std::uint8_t* from) {
  std::uint64_t eight = 0;
  std::memcpy(&eight, from, sizeof eight);
  return eight;
}

/// The table entries of eight symbols, the last first.
template <bool kContexts>
HWY_INLINE void rans_find_eight(const RansCoding& coding, std::size_t symbol,
                                const std::uint8_t* symbols, std::uint32_t* entries) {
  const std::uint64_t eight = rans_eight_bytes(symbols + symbol);
  const std::uint64_t contexts = kContexts ? rans_eight_bytes(coding.contexts + symbol) : 0;
  const auto entry = [&](unsigned i) HWY_ATTR {
    std::size_t at = eight >> (8 * i) & 0xFF;
    if (kContexts) at |= (contexts >> (8 * i) & 0xFF) << 8;
    return coding.table[at];
  };
  rans_store_pair(entry(7), entry(6), entries);
  rans_store_pair(entry(5), entry(4), entries + 2);
  rans_store_pair(entry(3), entry(2), entries + 4);
  rans_store_pair(entry(1), entry(0), entries + 6);
}

/// The table entries of a round's symbols, in reverse within each vector.
template <bool kContexts>
HWY_INLINE void rans_find(const RansCoding& coding, std::size_t symbol, const std::uint8_t* symbols,
                          std::uint32_t* entries) {
  for (std::size_t v = 0; v < kRansVectors; ++v, entries += kRansVectorLanes) {
    for (std::size_t i = 0; i < kRansVectorLanes; i += 8, symbol += 8) {
      rans_find_eight<kContexts>(coding, symbol, symbols, entries + kRansVectorLanes - 8 - i);
    }
  }
}

HWY_INLINE RansVector rans_encode_vector(RansVector entry, RansVector state, std::uint16_t*& out) {
  const auto frequency = hn::And(entry, hn::Set(RansTag32(), 0xFFFF));
  state = rans_spill(state, frequency, out);
  return rans_push(state, frequency, hn::ShiftRight<16>(entry));
}
#endif

}  // namespace kilter::store::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per target
