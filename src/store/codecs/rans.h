// Coded symbols: runs of byte symbols, each perhaps in a context, entropy-coded.
// Source: spec/store-forms.md, Coded symbols.
#pragma once

#include <span>
#include <vector>

#include "store/codecs/rans_table.h"

namespace kilter::store {

/// Appends the coded form of `symbols` to `out`. `contexts` is empty, or has one number below
/// `context_count` for each symbol.
void encode_symbols(std::span<const std::uint8_t> symbols, std::span<const std::uint8_t> contexts,
                    std::size_t context_count, RawBytes& out);

/// Reads back what encode_symbols() wrote, with the same contexts. Errors: kCorrupt.
Status decode_symbols(PayloadReader& in, std::span<const std::uint8_t> contexts,
                      std::size_t context_count, std::span<std::uint8_t> symbols);

}  // namespace kilter::store
