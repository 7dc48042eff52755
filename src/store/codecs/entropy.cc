#include "store/codecs/entropy.h"

#include <bit>

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

}  // namespace

std::uint32_t log2_256ths(std::uint64_t value) {
  if (value == 0) return 0;
  const auto width = static_cast<unsigned>(std::bit_width(value)) - 1;
  const std::uint64_t aligned = value << (63 - width);
  return width * 256 + kLogTable[(aligned >> 55) & 0xFF];
}

void count_symbols(std::span<const std::uint8_t> symbols, SymbolCounts& counts) {
  // Four histograms: the same counter twice in a row would wait for its own store.
  std::array<SymbolCounts, 4> parts{};
  std::size_t i = 0;
  for (; i + 4 <= symbols.size(); i += 4) {
    for (std::size_t j = 0; j < 4; ++j) ++parts[j][symbols[i + j]];
  }
  for (; i < symbols.size(); ++i) ++parts[0][symbols[i]];
  for (std::size_t s = 0; s < counts.size(); ++s) {
    counts[s] += parts[0][s] + parts[1][s] + parts[2][s] + parts[3][s];
  }
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
