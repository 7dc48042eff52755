// The inner loops of the entropy coder: interleaved rANS. Source: spec/store-forms.md.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kilter::store {

inline constexpr std::size_t kRansLanes = 64;
/// A state is never below this between symbols.
inline constexpr std::uint32_t kRansLow = 1U << 16;

inline constexpr std::size_t kRansWindowSymbols = 32;

/// What coding a run of symbols needs. Symbol i of the run belongs to lane i % lanes.
struct RansCoding {
  const std::uint32_t* table = nullptr;  ///< entries of all contexts, see rans_table.h
  /// One byte a symbol; null where there is one context.
  const std::uint8_t* contexts = nullptr;
  std::size_t lanes = kRansLanes;  ///< 1 to 64
  /// Nearly all symbols lie in [window_first, window_first + kRansWindowSymbols): vectors may look
  /// them up among these. Only without contexts; changes nothing but the speed.
  bool has_window = false;
  std::uint8_t window_first = 0;
};

/// Decodes `count` symbols, from words (16 bits each) at `next`. Returns where it stopped reading,
/// or null if it would have passed `end`.
const std::byte* rans_decode_reference(const RansCoding& coding, std::size_t count,
                                       std::uint32_t* states, const std::byte* next,
                                       const std::byte* end, std::uint8_t* symbols);

/// The same for 64 lanes, in vectors where the machine has them. Stops after whole rounds of 64
/// symbols as soon as fewer than kRansReadAheadBytes are left to read; returns the rounds done and
/// moves `next`.
inline constexpr std::size_t kRansReadAheadBytes = 128;
std::size_t rans_decode_rounds(const RansCoding& coding, std::size_t rounds, std::uint32_t* states,
                               const std::byte*& next, const std::byte* end, std::uint8_t* symbols);

/// Encodes `count` symbols from the last to the first. Words go to `out` in that order, the
/// reverse of what a decoder reads; `out` has room for count + 16. Returns the end of the words.
std::uint16_t* rans_encode_reference(const RansCoding& coding, std::size_t count,
                                     std::uint32_t* states, const std::uint8_t* symbols,
                                     std::uint16_t* out);

/// The same for 64 lanes and rounds of 64 symbols.
std::uint16_t* rans_encode_rounds(const RansCoding& coding, std::size_t rounds,
                                  std::uint32_t* states, const std::uint8_t* symbols,
                                  std::uint16_t* out);

}  // namespace kilter::store
