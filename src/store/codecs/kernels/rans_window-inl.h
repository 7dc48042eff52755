// Coding with a small alphabet: where nearly all symbols lie in a window of 32 neighbours, as the
// exponents of weights do, tables fit into registers, and no lane waits for memory. AVX-512 only.
#if defined(KILTER_RANS_WINDOW_INL_) == defined(HWY_TARGET_TOGGLE)
#ifdef KILTER_RANS_WINDOW_INL_
#undef KILTER_RANS_WINDOW_INL_
#else
#define KILTER_RANS_WINDOW_INL_
#endif

#include <hwy/highway.h>

#include "store/codecs/kernels/rans_vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace kilter::store::HWY_NAMESPACE {

#undef KILTER_RANS_WINDOW
#define KILTER_RANS_WINDOW (HWY_ARCH_X86_64 && HWY_TARGET <= HWY_AVX3)

#if KILTER_RANS_WINDOW
/// 32 entries, looked up by index, sixteen at a time.
struct RansWindowTable {
  explicit RansWindowTable(const std::uint32_t* from)
      : low(_mm512_loadu_si512(from)), high(_mm512_loadu_si512(from + 16)) {}
  HWY_INLINE __m512i at(__m512i index) const { return _mm512_permutex2var_epi32(low, index, high); }
  __m512i low, high;
};

/// First entry of the window, such that all 32 lie in the table.
HWY_INLINE std::uint32_t rans_window_first(const RansCoding& coding) {
  return coding.window_first < 256 - kRansWindowSymbols ? coding.window_first
                                                        : 256 - kRansWindowSymbols;
}

inline std::uint16_t* rans_encode_window(const RansCoding& coding, std::size_t rounds,
                                         std::uint32_t* states, const std::uint8_t* symbols,
                                         std::uint16_t* out) {
  const RansTag32 d;
  const std::uint32_t first = rans_window_first(coding);
  const RansWindowTable table(coding.table + first);
  const __m512i first_in_words = _mm512_set1_epi32(static_cast<int>(first));
  const __m512i first_in_bytes = _mm512_set1_epi8(static_cast<char>(first));
  const __m512i window = _mm512_set1_epi8(kRansWindowSymbols);
  RansVector state[kRansVectors];
  for (std::size_t v = 0; v < kRansVectors; ++v) {
    state[v] = rans_reverse(hn::LoadU(d, states + kRansVectorLanes * v));
  }
  alignas(64) std::uint32_t entries[kRansLanes];
  while (rounds-- > 0) {
    const std::uint8_t* const at = symbols + rounds * kRansLanes;
    const __m512i bytes = _mm512_sub_epi8(_mm512_loadu_si512(at), first_in_bytes);
    if (_mm512_cmpge_epu8_mask(bytes, window) != 0) [[unlikely]] {
      rans_find<false>(coding, rounds * kRansLanes, symbols, entries);
      for (std::size_t v = kRansVectors; v-- > 0;) {
        state[v] = rans_encode_vector(hn::Load(d, entries + kRansVectorLanes * v), state[v], out);
      }
      continue;
    }
    for (std::size_t v = kRansVectors; v-- > 0;) {
      const RansVector symbol = rans_load_bytes(at + kRansVectorLanes * v);
      const RansVector entry{table.at(_mm512_sub_epi32(symbol.raw, first_in_words))};
      state[v] = rans_encode_vector(rans_reverse(entry), state[v], out);
    }
  }
  for (std::size_t v = 0; v < kRansVectors; ++v) {
    hn::StoreU(rans_reverse(state[v]), d, states + kRansVectorLanes * v);
  }
  return out;
}

/// Finds symbols by where slots lie among the 32 starts: a search in five steps.
class RansWindowSearch {
 public:
  explicit RansWindowSearch(const RansCoding& coding, std::uint32_t first)
      : entries_(fill(coding, first).packed) {
    const Filled filled = fill(coding, first);
    starts_ = _mm512_loadu_si512(filled.starts);
    lowest_ = _mm512_set1_epi16(static_cast<short>(filled.starts[0]));
    middle_ = _mm512_set1_epi16(static_cast<short>(filled.starts[kRansWindowSymbols / 2]));
    slots_ = _mm512_set1_epi16(static_cast<short>(filled.end - filled.starts[0]));
  }

  /// Slots of two vectors of states: the second's in the upper halves of the words.
  static HWY_INLINE __m512i slots_of(__m512i a, __m512i b) {
    const __m512i low = _mm512_and_si512(a, _mm512_set1_epi32(0xFFF));
    const __m512i high = _mm512_and_si512(_mm512_slli_epi32(b, 16), _mm512_set1_epi32(0xFFF0000));
    return _mm512_or_si512(low, high);
  }
  HWY_INLINE bool all_inside(__m512i slots) const {
    return _mm512_cmpge_epu16_mask(_mm512_sub_epi16(slots, lowest_), slots_) == 0;
  }
  /// The last symbol of the window whose start is no higher than the slot.
  HWY_INLINE __m512i find(__m512i slots) const {
    __m512i found =
        _mm512_maskz_mov_epi16(_mm512_cmpge_epu16_mask(slots, middle_), _mm512_set1_epi16(16));
    found = step(slots, found, 8);
    found = step(slots, found, 4);
    found = step(slots, found, 2);
    return step(slots, found, 1);
  }
  /// The states without these symbols, `index` being 32-bit and of the same lanes.
  HWY_INLINE __m512i pop(__m512i state, __m512i index) const {
    const __m512i entry = entries_.at(index);
    const __m512i frequency = _mm512_and_si512(entry, _mm512_set1_epi32(0xFFFF));
    const __m512i offset = _mm512_sub_epi32(_mm512_and_si512(state, _mm512_set1_epi32(0xFFF)),
                                            _mm512_srli_epi32(entry, 16));
    return _mm512_add_epi32(_mm512_mullo_epi32(frequency, _mm512_srli_epi32(state, 12)), offset);
  }

 private:
  struct Filled {
    std::uint32_t packed[kRansWindowSymbols] = {};  // as an encoder's entries
    std::uint16_t starts[kRansWindowSymbols] = {};
    std::uint16_t end = 0;
  };
  /// Symbols that do not occur start where the next one does.
  static Filled fill(const RansCoding& coding, std::uint32_t first) {
    Filled out;
    std::uint32_t slot = 0;
    const auto symbol = [&] { return coding.table[slot] & 0xFF; };
    const auto frequency = [&] { return (coding.table[slot] >> 20) + 1; };
    while (slot < 4096 && symbol() < first) slot += frequency();
    for (std::uint32_t i = 0; i < kRansWindowSymbols; ++i) {
      out.starts[i] = static_cast<std::uint16_t>(slot);
      const bool occurs = slot < 4096 && symbol() == first + i;
      out.packed[i] = slot << 16 | (occurs ? frequency() : 0);
      if (occurs) slot += frequency();
    }
    out.end = static_cast<std::uint16_t>(slot);
    return out;
  }
  HWY_INLINE __m512i step(__m512i slots, __m512i found, short bit) const {
    const __m512i next = _mm512_or_si512(found, _mm512_set1_epi16(bit));
    const __m512i start = _mm512_permutexvar_epi16(next, starts_);
    return _mm512_mask_mov_epi16(found, _mm512_cmpge_epu16_mask(slots, start), next);
  }

  RansWindowTable entries_;
  __m512i starts_, lowest_, middle_, slots_;
};

HWY_INLINE __m512i rans_refill_window(__m512i state, const std::byte*& next) {
  const __mmask16 low = _mm512_cmplt_epu32_mask(state, _mm512_set1_epi32(kRansLow));
  const __m512i words =
      _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(next)));
  next += 2 * static_cast<std::size_t>(_mm_popcnt_u32(low));
  const __m512i shifted = _mm512_mask_slli_epi32(state, low, state, 16);
  return _mm512_or_si512(shifted, _mm512_maskz_expand_epi32(low, words));
}

/// The table's way, for lanes of which one has a symbol outside of the window.
HWY_NOINLINE void rans_pop_by_table(const RansCoding& coding, __m512i* state,
                                    std::uint8_t* symbols) {
  alignas(64) std::uint32_t lanes[16];
  _mm512_store_si512(lanes, *state);
  for (std::size_t i = 0; i < 16; ++i) {
    const std::uint32_t entry = coding.table[lanes[i] & 0xFFF];
    symbols[i] = static_cast<std::uint8_t>(entry);
    lanes[i] = ((entry >> 20) + 1) * (lanes[i] >> 12) + (entry >> 8 & 0xFFF);
  }
  *state = _mm512_load_si512(lanes);
}

HWY_INLINE void rans_pop_two(const RansCoding& coding, const RansWindowSearch& search,
                             __m512i first, __m512i* state, std::uint8_t* symbols) {
  const __m512i slots = RansWindowSearch::slots_of(state[0], state[1]);
  if (!search.all_inside(slots)) [[unlikely]] {
    rans_pop_by_table(coding, state, symbols);
    return rans_pop_by_table(coding, state + 1, symbols + 16);
  }
  const __m512i found = search.find(slots);
  const __m512i index[2] = {_mm512_and_si512(found, _mm512_set1_epi32(0xFFFF)),
                            _mm512_srli_epi32(found, 16)};
  for (std::size_t i = 0; i < 2; ++i) {
    const __m128i bytes = _mm512_cvtepi32_epi8(_mm512_add_epi32(index[i], first));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(symbols + 16 * i), bytes);
    state[i] = search.pop(state[i], index[i]);
  }
}

inline std::size_t rans_decode_window(const RansCoding& coding, std::size_t rounds,
                                      std::uint32_t* states, const std::byte*& next,
                                      const std::byte* end, std::uint8_t* symbols) {
  static_assert(kRansVectors == 4);
  const std::uint32_t first = rans_window_first(coding);
  const RansWindowSearch search(coding, first);
  const __m512i first_in_words = _mm512_set1_epi32(static_cast<int>(first));
  __m512i state[4];
  for (std::size_t v = 0; v < 4; ++v) state[v] = _mm512_loadu_si512(states + 16 * v);
  const std::byte* from = next;
  std::size_t round = 0;
  for (; round < rounds && end - from >= std::ptrdiff_t{kRansReadAheadBytes}; ++round) {
    rans_pop_two(coding, search, first_in_words, state, symbols + round * kRansLanes);
    rans_pop_two(coding, search, first_in_words, state + 2, symbols + round * kRansLanes + 32);
    for (std::size_t v = 0; v < 4; ++v) state[v] = rans_refill_window(state[v], from);
  }
  next = from;
  for (std::size_t v = 0; v < 4; ++v) _mm512_storeu_si512(states + 16 * v, state[v]);
  return round;
}
#endif

}  // namespace kilter::store::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per target
