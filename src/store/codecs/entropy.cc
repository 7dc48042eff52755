#include "store/codecs/entropy.h"

#include <bit>
#include <cstring>
#include <optional>

#include "store/codecs/kernels/count_kernel.h"

namespace kilter::store {
namespace {

constexpr unsigned kLogBits = 8;

// Digits of log2(1 + i/256) by squaring: each square that passes 2 gives a one.
constexpr std::uint16_t log2_of_mantissa(std::uint64_t i) {
  std::uint64_t x = (256 + i) << 22;  // 30 fractional bits
  std::uint16_t digits = 0;
  for (unsigned bit = 0; bit < kLogBits; ++bit) {
    x = (x * x) >> 30;
    digits = static_cast<std::uint16_t>(digits << 1);
    if (x >= (2ULL << 30)) {
      x >>= 1;
      ++digits;
    }
  }
  return digits;
}

constexpr std::array<std::uint16_t, 256> make_log_table() {
  std::array<std::uint16_t, 256> table{};
  for (std::size_t i = 0; i < table.size(); ++i) table[i] = log2_of_mantissa(i);
  return table;
}
constexpr std::array<std::uint16_t, 256> kLogTable = make_log_table();

// What one more symbol in the alphabet costs a sample, in 256ths of a bit: 1 / (2 ln 2).
constexpr std::uint64_t kSymbolPenalty256ths = 185;

std::uint64_t entropy_256ths(const SymbolCounts& counts, std::uint64_t* kinds) {
  std::uint64_t total = 0, bits = 0;
  *kinds = 0;
  for (const std::uint32_t count : counts) {
    total += count;
    *kinds += count != 0;
    bits += std::uint64_t{count} * log2_256ths(count);
  }
  const std::uint64_t all = total * log2_256ths(total);
  return all > bits ? all - bits : 0;
}

void count_any(std::span<const std::uint8_t> symbols, SymbolCounts& counts) {
  // Eight histograms: the same counter twice in a row would wait for its own store.
  std::array<SymbolCounts, 8> parts{};
  std::size_t i = 0;
  for (; symbols.size() - i >= 8; i += 8) {
    std::uint64_t eight = 0;
    std::memcpy(&eight, symbols.data() + i, sizeof eight);
    for (std::size_t j = 0; j < 8; ++j) ++parts[j][eight >> (8 * j) & 0xFF];
  }
  for (; i < symbols.size(); ++i) ++counts[symbols[i]];
  for (const SymbolCounts& part : parts) {
    for (std::size_t s = 0; s < counts.size(); ++s) counts[s] += part[s];
  }
}

// Runs below this are counted before a sample would be.
constexpr std::size_t kWindowSymbols = 65536;
constexpr std::size_t kWindowSamples = 16, kWindowSampleBytes = 128;
// Comparing with more kinds takes longer than counting; so does a sample with more strays.
constexpr std::size_t kWindowKinds = 32;
constexpr std::size_t kStraysOnePartIn = 128;

struct Neighbours {
  std::size_t first = 0, kinds = 0;
};

/// The most frequent `kinds` neighbours of a sample, if they are nearly all of it.
std::optional<Neighbours> most_frequent_neighbours(const SymbolCounts& sample, std::size_t kinds) {
  std::size_t all = 0, inside = 0, best = 0, first = 0;
  for (const std::uint32_t count : sample) all += count;
  for (std::size_t last = 0; last < sample.size(); ++last) {
    inside += sample[last];
    if (last >= kinds) inside -= sample[last - kinds];
    if (last + 1 < kinds || inside <= best) continue;
    best = inside;
    first = last + 1 - kinds;
  }
  if (all - best > all / kStraysOnePartIn) return std::nullopt;
  return Neighbours{first, kinds};
}

std::optional<Neighbours> find_neighbours(std::span<const std::uint8_t> symbols) {
  SymbolCounts sample{};
  const std::size_t stride = symbols.size() / kWindowSamples;
  for (std::size_t i = 0; i < kWindowSamples; ++i) {
    count_reference(symbols.subspan(i * stride, kWindowSampleBytes), sample);
  }
  for (std::size_t kinds = kCountGroup; kinds <= kWindowKinds; kinds += kCountGroup) {
    if (const auto found = most_frequent_neighbours(sample, kinds)) return found;
  }
  return std::nullopt;
}

}  // namespace

std::uint32_t log2_256ths(std::uint64_t value) {
  if (value == 0) return 0;
  const auto width = static_cast<unsigned>(std::bit_width(value)) - 1;
  const std::uint64_t aligned = value << (63 - width);
  return width * 256 + kLogTable[(aligned >> 55) & 0xFF];
}

void count_symbols(std::span<const std::uint8_t> symbols, SymbolCounts& counts) {
  const auto window = symbols.size() < kWindowSymbols ? std::nullopt : find_neighbours(symbols);
  if (window) return count_neighbours(symbols, window->first, window->kinds, counts);
  count_any(symbols, counts);
}

std::uint64_t entropy_bits(const SymbolCounts& counts) {
  std::uint64_t kinds = 0;
  return (entropy_256ths(counts, &kinds) + 255) / 256;
}

std::uint64_t sampled_entropy_bits(const SymbolCounts& counts) {
  std::uint64_t kinds = 0;
  const std::uint64_t bits = entropy_256ths(counts, &kinds);
  if (kinds > 1) return (bits + (kinds - 1) * kSymbolPenalty256ths + 255) / 256;
  return (bits + 255) / 256;
}

}  // namespace kilter::store
