#include "store/codecs/rans.h"

#include <algorithm>
#include <optional>

#include "store/codecs/kernels/rans_kernel.h"
#include "store/codecs/scratch.h"

namespace kilter::store {
namespace {

// Sixty-four states cost 256 bytes: too much for short runs, which get four.
constexpr std::size_t kLongRunSymbols = 32768;
constexpr std::size_t kShortRunLanes = 4;
// A round with a symbol outside of the window takes the long way.
constexpr std::uint32_t kWindowMissesOnePartIn = 64;

std::size_t lanes_of(std::size_t symbols) {
  return symbols < kLongRunSymbols ? kShortRunLanes : kRansLanes;
}

void count_in_contexts(std::span<const std::uint8_t> symbols,
                       std::span<const std::uint8_t> contexts, std::span<SymbolCounts> counts) {
  if (contexts.empty()) return count_symbols(symbols, counts[0]);
  for (std::size_t i = 0; i < symbols.size(); ++i) ++counts[contexts[i]][symbols[i]];
}

/// The first of the neighbours that nearly all symbols are among, if there are such.
std::optional<std::uint8_t> find_window(const Frequencies& frequencies) {
  std::uint32_t sum = 0, best = 0;
  std::size_t best_first = 0;
  for (std::size_t last = 0; last < frequencies.size(); ++last) {
    sum += frequencies[last];
    if (last >= kRansWindowSymbols) sum -= frequencies[last - kRansWindowSymbols];
    if (sum <= best) continue;
    best = sum;
    best_first = last < kRansWindowSymbols ? 0 : last + 1 - kRansWindowSymbols;
  }
  if (best < kRansTotal - kRansTotal / kWindowMissesOnePartIn) return std::nullopt;
  return static_cast<std::uint8_t>(best_first);
}

/// `window` is that of the only context, where there are no more.
RansCoding coding_of(const std::uint32_t* table, std::span<const std::uint8_t> contexts,
                     std::size_t lanes, std::optional<std::uint8_t> window) {
  RansCoding coding{table, contexts.empty() ? nullptr : contexts.data(), lanes};
  if (!contexts.empty() || !window) return coding;
  coding.has_window = true;
  coding.window_first = *window;
  return coding;
}

std::uint16_t* encode_run(const RansCoding& coding, std::span<const std::uint8_t> symbols,
                          std::uint32_t* states, std::uint16_t* words) {
  if (coding.lanes != kRansLanes) {
    return rans_encode_reference(coding, symbols.size(), states, symbols.data(), words);
  }
  const std::size_t rounds = symbols.size() / kRansLanes;
  RansCoding tail = coding;
  if (tail.contexts != nullptr) tail.contexts += rounds * kRansLanes;
  words = rans_encode_reference(tail, symbols.size() % kRansLanes, states,
                                symbols.data() + rounds * kRansLanes, words);
  return rans_encode_rounds(coding, rounds, states, symbols.data(), words);
}

void write_words(std::span<const std::uint16_t> reversed, RawBytes& out) {
  const std::size_t at = out.size();
  out.resize(at + 2 * reversed.size());
  std::byte* to = out.data() + at;
  for (std::size_t i = reversed.size(); i-- > 0; to += 2) std::memcpy(to, &reversed[i], 2);
}

/// Decodes whole rounds. The last words are read from a copy with zeros behind them, so that
/// vectors may look further than the payload goes.
Result<const std::byte*> decode_rounds(const RansCoding& coding, std::size_t rounds,
                                       std::uint32_t* states, Bytes words, std::uint8_t* symbols) {
  const std::byte* next = words.data();
  const std::byte* const end = next + words.size();
  const std::size_t done = rans_decode_rounds(coding, rounds, states, next, end, symbols);
  if (done == rounds) return next;

  const auto left = static_cast<std::size_t>(end - next);
  std::array<std::byte, 2 * kRansReadAheadBytes> copy{};
  std::copy(next, end, copy.begin());
  const std::byte* from = copy.data();
  RansCoding rest = coding;
  if (rest.contexts != nullptr) rest.contexts += done * kRansLanes;
  rans_decode_rounds(rest, rounds - done, states, from, copy.data() + copy.size(),
                     symbols + done * kRansLanes);
  const auto used = static_cast<std::size_t>(from - copy.data());
  if (used > left) return corrupt("coded symbols end early");
  return next + used;
}

Result<const std::byte*> decode_run(const RansCoding& coding, std::uint32_t* states, Bytes words,
                                    std::span<std::uint8_t> symbols) {
  const std::size_t rounds = coding.lanes == kRansLanes ? symbols.size() / kRansLanes : 0;
  const std::byte* next = words.data();
  if (rounds > 0) {
    KILTER_ASSIGN(next, decode_rounds(coding, rounds, states, words, symbols.data()));
  }
  RansCoding tail = coding;
  if (tail.contexts != nullptr) tail.contexts += rounds * kRansLanes;
  next = rans_decode_reference(tail, symbols.size() - rounds * kRansLanes, states, next,
                               words.data() + words.size(), symbols.data() + rounds * kRansLanes);
  if (next == nullptr) return corrupt("coded symbols end early");
  return next;
}

}  // namespace

void encode_symbols(std::span<const std::uint8_t> symbols, std::span<const std::uint8_t> contexts,
                    std::size_t context_count, RawBytes& out) {
  std::vector<SymbolCounts> counts(context_count);
  count_in_contexts(symbols, contexts, counts);
  Scratch<std::uint32_t> table(context_count * kEncodeEntries);
  PayloadWriter writer(out);
  std::optional<std::uint8_t> window;
  for (std::size_t c = 0; c < context_count; ++c) {
    const Frequencies frequencies = normalize(counts[c]);
    write_frequencies(frequencies, writer);
    fill_encode_table(frequencies, table.data() + c * kEncodeEntries);
    window = find_window(frequencies);
  }
  const std::size_t lanes = lanes_of(symbols.size());
  std::array<std::uint32_t, kRansLanes> states;
  states.fill(kRansLow);
  Scratch<std::uint16_t> words(symbols.size() + kRansLanes);
  const RansCoding coding = coding_of(table.data(), contexts, lanes, window);
  const std::uint16_t* end = encode_run(coding, symbols, states.data(), words.data());
  const auto count = static_cast<std::size_t>(end - words.data());
  writer.u32(static_cast<std::uint32_t>(count));
  for (std::size_t lane = 0; lane < lanes; ++lane) writer.u32(states[lane]);
  write_words(words.span().first(count), out);
}

Status decode_symbols(PayloadReader& in, std::span<const std::uint8_t> contexts,
                      std::size_t context_count, std::span<std::uint8_t> symbols) {
  Scratch<std::uint32_t> table(context_count * kDecodeEntries);
  std::optional<std::uint8_t> window;
  for (std::size_t c = 0; c < context_count; ++c) {
    KILTER_ASSIGN(const Frequencies frequencies, read_frequencies(in));
    fill_decode_table(frequencies, table.data() + c * kDecodeEntries);
    window = find_window(frequencies);
  }
  const std::size_t lanes = lanes_of(symbols.size());
  KILTER_ASSIGN(const std::size_t count, in.u32());
  std::array<std::uint32_t, kRansLanes> states;
  states.fill(kRansLow);
  for (std::size_t lane = 0; lane < lanes; ++lane) {
    KILTER_ASSIGN(states[lane], in.u32());
  }
  KILTER_ASSIGN(const Bytes words, in.take(2 * count));
  const RansCoding coding = coding_of(table.data(), contexts, lanes, window);
  KILTER_ASSIGN(const std::byte* const next, decode_run(coding, states.data(), words, symbols));
  const bool all_read = next == words.data() + words.size();
  const bool begun = std::all_of(states.begin(), states.end(),
                                 [](std::uint32_t state) { return state == kRansLow; });
  return all_read && begun ? ok() : corrupt("coded symbols do not end where they began");
}

}  // namespace kilter::store
