// Probabilities of the entropy coder. Source: spec/store-forms.md, Coded symbols.
#pragma once

#include <array>
#include <cstdint>

#include "store/codecs/entropy.h"
#include "store/codecs/payload_io.h"

namespace kilter::store {

inline constexpr unsigned kRansBits = 12;
inline constexpr std::uint32_t kRansTotal = 1U << kRansBits;

/// Parts of 4096 for each symbol. All zero: the context never occurs.
using Frequencies = std::array<std::uint16_t, 256>;

/// Scales counts to a sum of 4096 in which every symbol that occurs keeps at least one part.
/// All zero for no counts.
Frequencies normalize(const SymbolCounts& counts);

/// Bits that symbols with these counts cost at these frequencies.
std::uint64_t coded_bits(const SymbolCounts& counts, const Frequencies& frequencies);

void write_frequencies(const Frequencies& frequencies, PayloadWriter& out);
/// Errors: kCorrupt, also where the sum is not 4096.
Result<Frequencies> read_frequencies(PayloadReader& in);

// An encoder's entry: frequency in bits 0-15, the first slot in bits 16-31.
inline constexpr std::size_t kEncodeEntries = 256;
void fill_encode_table(const Frequencies& frequencies, std::uint32_t* entries);

// A decoder's entry, one a slot: symbol in bits 0-7, slot minus first slot in bits 8-19,
// frequency minus one in bits 20-31.
inline constexpr std::size_t kDecodeEntries = kRansTotal;
/// A context that never occurs decodes as symbol 0.
void fill_decode_table(const Frequencies& frequencies, std::uint32_t* entries);

}  // namespace kilter::store
