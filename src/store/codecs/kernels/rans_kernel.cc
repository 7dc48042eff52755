#include "store/codecs/kernels/rans_kernel.h"

#include <bit>
#include <cstring>

// Highway compiles this file once for each instruction set and chooses when the program runs.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "store/codecs/kernels/rans_kernel.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#ifndef KILTER_RANS_KERNEL_ONCE_
#define KILTER_RANS_KERNEL_ONCE_
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
#endif  // KILTER_RANS_KERNEL_ONCE_

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
// leaking (Intel's before 2023) that is faster, and elsewhere no slower by much.
HWY_INLINE std::uint64_t rans_pair(const std::uint32_t* table, std::size_t first,
                                   std::size_t second) {
  return table[first] | std::uint64_t{table[second]} << 32;
}

HWY_INLINE void rans_look_up(const std::uint32_t* table, const std::uint32_t* slots,
                             std::uint32_t* entries) {
  for (std::size_t i = 0; i < kRansLanes; i += 2) {
    std::uint64_t pair = 0;
    std::memcpy(&pair, slots + i, sizeof pair);
    pair = rans_pair(table, pair & 0xFFFFFFFF, pair >> 32);
    std::memcpy(entries + i, &pair, sizeof pair);
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

/// Quotient and remainder by way of floats: a quotient below 2^20 is at most one off, and put
/// right by its remainder, so the result is exact whatever the rounding.
HWY_INLINE RansVector rans_push(RansVector state, RansVector frequency, RansVector start) {
  const RansTag32 d;
  const hn::RebindToSigned<RansTag32> di;
  const hn::RebindToFloat<RansTag32> df;
  const auto ratio = hn::Div(hn::ConvertTo(df, state), hn::ConvertTo(df, frequency));
  auto quotient = hn::BitCast(d, hn::ConvertTo(di, ratio));
  auto rest = hn::Sub(state, hn::Mul(quotient, frequency));
  const auto one = hn::Set(d, 1);
  const auto below = hn::Ne(hn::ShiftRight<31>(rest), hn::Zero(d));
  quotient = hn::IfThenElse(below, hn::Sub(quotient, one), quotient);
  rest = hn::IfThenElse(below, hn::Add(rest, frequency), rest);
  const auto above = hn::Not(hn::Lt(rest, frequency));
  quotient = hn::IfThenElse(above, hn::Add(quotient, one), quotient);
  rest = hn::IfThenElse(above, hn::Sub(rest, frequency), rest);
  return hn::Add(hn::ShiftLeft<12>(quotient), hn::Add(rest, start));
}

/// The table entries of a round's symbols.
HWY_INLINE void rans_find(const RansCoding& coding, std::size_t symbol, const std::uint8_t* symbols,
                          std::uint32_t* entries) {
  const std::uint8_t* const at = symbols + symbol;
  for (std::size_t i = 0; i < kRansLanes; i += 2) {
    std::size_t first = at[i], second = at[i + 1];
    if (coding.contexts != nullptr) {
      first |= std::size_t{coding.contexts[symbol + i]} << 8;
      second |= std::size_t{coding.contexts[symbol + i + 1]} << 8;
    }
    const std::uint64_t pair = rans_pair(coding.table, first, second);
    std::memcpy(entries + i, &pair, sizeof pair);
  }
}

HWY_INLINE RansVector rans_encode_vector(RansVector entry, RansVector state, std::uint16_t*& out) {
  const auto frequency = hn::And(entry, hn::Set(RansTag32(), 0xFFFF));
  state = rans_spill(state, frequency, out);
  return rans_push(state, frequency, hn::ShiftRight<16>(entry));
}
#endif

std::size_t rans_decode_vectors(const RansCoding& coding, std::size_t rounds, std::uint32_t* states,
                                const std::byte*& next, const std::byte* end,
                                std::uint8_t* symbols) {
  std::size_t round = 0;
#if KILTER_RANS_VECTORS
  const RansTag32 d;
  RansVector state[kRansVectors];
  for (std::size_t v = 0; v < kRansVectors; ++v)
    state[v] = hn::LoadU(d, states + kRansVectorLanes * v);
  alignas(64) std::uint32_t slots[kRansLanes], entries[kRansLanes];
  const std::byte* from = next;
  for (; round < rounds && end - from >= std::ptrdiff_t{kRansWindowBytes}; ++round) {
    const std::size_t symbol = round * kRansLanes;
    for (std::size_t v = 0; v < kRansVectors; ++v) {
      const std::size_t at = kRansVectorLanes * v;
      hn::Store(rans_slots(coding, symbol + at, state[v]), d, slots + at);
    }
    rans_look_up(coding.table, slots, entries);
    for (std::size_t v = 0; v < kRansVectors; ++v) {
      const std::size_t at = kRansVectorLanes * v;
      state[v] = rans_decode_vector(hn::Load(d, entries + at), state[v], symbols + symbol + at);
    }
    for (std::size_t v = 0; v < kRansVectors; ++v) state[v] = rans_refill(state[v], from);
  }
  next = from;
  for (std::size_t v = 0; v < kRansVectors; ++v)
    hn::StoreU(state[v], d, states + kRansVectorLanes * v);
#else
  RansCoding part = coding;
  for (; round < rounds && end - next >= std::ptrdiff_t{kRansWindowBytes}; ++round) {
    next = rans_decode_reference(part, kRansLanes, states, next, end, symbols + round * kRansLanes);
    if (part.contexts != nullptr) part.contexts += kRansLanes;
  }
#endif
  return round;
}

std::uint16_t* rans_encode_vectors(const RansCoding& coding, std::size_t rounds,
                                   std::uint32_t* states, const std::uint8_t* symbols,
                                   std::uint16_t* out) {
#if KILTER_RANS_VECTORS
  const RansTag32 d;
  RansVector state[kRansVectors];
  for (std::size_t v = 0; v < kRansVectors; ++v) {
    state[v] = rans_reverse(hn::LoadU(d, states + kRansVectorLanes * v));
  }
  alignas(64) std::uint32_t entries[kRansLanes];
  while (rounds-- > 0) {
    rans_find(coding, rounds * kRansLanes, symbols, entries);
    for (std::size_t v = kRansVectors; v-- > 0;) {
      const auto entry = rans_reverse(hn::Load(d, entries + kRansVectorLanes * v));
      state[v] = rans_encode_vector(entry, state[v], out);
    }
  }
  for (std::size_t v = 0; v < kRansVectors; ++v) {
    hn::StoreU(rans_reverse(state[v]), d, states + kRansVectorLanes * v);
  }
  return out;
#else
  return rans_encode_reference(coding, rounds * kRansLanes, states, symbols, out);
#endif
}

}  // namespace kilter::store::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace kilter::store {
namespace {

HWY_EXPORT(rans_decode_vectors);
HWY_EXPORT(rans_encode_vectors);

std::uint32_t context_of(const RansCoding& coding, std::size_t symbol) {
  return coding.contexts == nullptr ? 0 : coding.contexts[symbol];
}

}  // namespace

const std::byte* rans_decode_reference(const RansCoding& coding, std::size_t count,
                                       std::uint32_t* states, const std::byte* next,
                                       const std::byte* end, std::uint8_t* symbols) {
  for (std::size_t i = 0, lane = 0; i < count;
       ++i, lane = lane + 1 == coding.lanes ? 0 : lane + 1) {
    std::uint32_t& state = states[lane];
    const std::uint32_t entry = coding.table[context_of(coding, i) << 12 | (state & 0xFFF)];
    symbols[i] = static_cast<std::uint8_t>(entry);
    state = ((entry >> 20) + 1) * (state >> 12) + (entry >> 8 & 0xFFF);
    if (state >= kRansLow) continue;
    if (end - next < 2) return nullptr;
    std::uint16_t word = 0;
    std::memcpy(&word, next, sizeof word);
    next += sizeof word;
    state = state << 16 | word;
  }
  return next;
}

std::uint16_t* rans_encode_reference(const RansCoding& coding, std::size_t count,
                                     std::uint32_t* states, const std::uint8_t* symbols,
                                     std::uint16_t* out) {
  for (std::size_t i = count; i-- > 0;) {
    std::uint32_t& state = states[i % coding.lanes];
    const std::uint32_t entry = coding.table[context_of(coding, i) << 8 | symbols[i]];
    const std::uint32_t frequency = entry & 0xFFFF;
    if (state >> 20 >= frequency) {
      *out++ = static_cast<std::uint16_t>(state);
      state >>= 16;
    }
    state = (state / frequency << 12) + state % frequency + (entry >> 16);
  }
  return out;
}

std::size_t rans_decode_rounds(const RansCoding& coding, std::size_t rounds, std::uint32_t* states,
                               const std::byte*& next, const std::byte* end,
                               std::uint8_t* symbols) {
  return HWY_DYNAMIC_DISPATCH(rans_decode_vectors)(coding, rounds, states, next, end, symbols);
}

std::uint16_t* rans_encode_rounds(const RansCoding& coding, std::size_t rounds,
                                  std::uint32_t* states, const std::uint8_t* symbols,
                                  std::uint16_t* out) {
  return HWY_DYNAMIC_DISPATCH(rans_encode_vectors)(coding, rounds, states, symbols, out);
}

}  // namespace kilter::store
#endif  // HWY_ONCE
