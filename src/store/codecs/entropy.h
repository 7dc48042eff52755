// Histograms of byte symbols and what they cost, in integers alone: a payload must not depend on
// how a machine's logarithm rounds.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace kilter::store {

using SymbolCounts = std::array<std::uint32_t, 256>;

/// log2(value) in 256ths, to within one of them. 0 for 0.
std::uint32_t log2_256ths(std::uint64_t value);

/// Adds the symbols to the counts.
void count_symbols(std::span<const std::uint8_t> symbols, SymbolCounts& counts);

/// Bits an ideal order-0 coder needs for symbols with these counts.
std::uint64_t entropy_bits(const SymbolCounts& counts);

/// The same for data of which these are a sample: corrected for what a small sample cannot show
/// (Miller and Madow: half a natural unit for each symbol beyond the first).
std::uint64_t sampled_entropy_bits(const SymbolCounts& counts);

}  // namespace kilter::store
