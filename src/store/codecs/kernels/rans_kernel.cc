#include "store/codecs/kernels/rans_kernel.h"

#include <bit>
#include <cstring>

// Highway compiles this file once for each instruction set and chooses when the program runs.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "store/codecs/kernels/rans_kernel.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "store/codecs/kernels/rans_vectors-inl.h"
#include "store/codecs/kernels/rans_window-inl.h"

HWY_BEFORE_NAMESPACE();
namespace kilter::store::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

std::size_t rans_decode_vectors(const RansCoding& coding, std::size_t rounds, std::uint32_t* states,
                                const std::byte*& next, const std::byte* end,
                                std::uint8_t* symbols) {
  std::size_t round = 0;
#if KILTER_RANS_WINDOW
  if (coding.has_window) return rans_decode_window(coding, rounds, states, next, end, symbols);
#endif
#if KILTER_RANS_VECTORS
  const RansTag32 d;
  RansVector state[kRansVectors];
  for (std::size_t v = 0; v < kRansVectors; ++v)
    state[v] = hn::LoadU(d, states + kRansVectorLanes * v);
  alignas(64) std::uint32_t slots[kRansLanes], entries[kRansLanes];
  const std::byte* from = next;
  for (; round < rounds && end - from >= std::ptrdiff_t{kRansReadAheadBytes}; ++round) {
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
  for (; round < rounds && end - next >= std::ptrdiff_t{kRansReadAheadBytes}; ++round) {
    next = rans_decode_reference(part, kRansLanes, states, next, end, symbols + round * kRansLanes);
    if (part.contexts != nullptr) part.contexts += kRansLanes;
  }
#endif
  return round;
}

#if KILTER_RANS_VECTORS
template <bool kContexts>
std::uint16_t* rans_encode_all(const RansCoding& coding, std::size_t rounds, std::uint32_t* states,
                               const std::uint8_t* symbols, std::uint16_t* out) {
  const RansTag32 d;
  RansVector state[kRansVectors];
  for (std::size_t v = 0; v < kRansVectors; ++v) {
    state[v] = rans_reverse(hn::LoadU(d, states + kRansVectorLanes * v));
  }
  // A round ahead: a vector read right after its words were written would wait for the cache.
  alignas(64) std::uint32_t entries[2][kRansLanes];
  const auto find = [&](std::size_t round) HWY_ATTR {
    rans_find<kContexts>(coding, round * kRansLanes, symbols, entries[round % 2]);
  };
  if (rounds > 0) find(rounds - 1);
  while (rounds-- > 0) {
    if (rounds > 0) find(rounds - 1);
    for (std::size_t v = kRansVectors; v-- > 0;) {
      const auto entry = hn::Load(d, entries[rounds % 2] + kRansVectorLanes * v);
      state[v] = rans_encode_vector(entry, state[v], out);
    }
  }
  for (std::size_t v = 0; v < kRansVectors; ++v) {
    hn::StoreU(rans_reverse(state[v]), d, states + kRansVectorLanes * v);
  }
  return out;
}
#endif

std::uint16_t* rans_encode_vectors(const RansCoding& coding, std::size_t rounds,
                                   std::uint32_t* states, const std::uint8_t* symbols,
                                   std::uint16_t* out) {
#if KILTER_RANS_WINDOW
  if (coding.has_window) return rans_encode_window(coding, rounds, states, symbols, out);
#endif
#if KILTER_RANS_VECTORS
  if (coding.contexts != nullptr) {
    return rans_encode_all<true>(coding, rounds, states, symbols, out);
  }
  return rans_encode_all<false>(coding, rounds, states, symbols, out);
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
