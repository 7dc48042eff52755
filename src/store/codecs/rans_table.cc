#include "store/codecs/rans_table.h"

#include <algorithm>
#include <numeric>

namespace kilter::store {
namespace {

std::size_t most_frequent(const Frequencies& frequencies) {
  return static_cast<std::size_t>(std::max_element(frequencies.begin(), frequencies.end()) -
                                  frequencies.begin());
}

std::uint32_t sum_of(const Frequencies& frequencies) {
  return std::accumulate(frequencies.begin(), frequencies.end(), 0U);
}

}  // namespace

Frequencies normalize(const SymbolCounts& counts) {
  Frequencies out{};
  std::uint64_t total = 0;
  for (const std::uint32_t count : counts) total += count;
  if (total == 0) return out;
  for (std::size_t s = 0; s < counts.size(); ++s) {
    if (counts[s] == 0) continue;
    const std::uint64_t part = (std::uint64_t{counts[s]} * kRansTotal + total / 2) / total;
    out[s] = static_cast<std::uint16_t>(std::max<std::uint64_t>(part, 1));
  }
  // What rounding left over goes to the symbol that notices it least.
  const std::uint32_t sum = sum_of(out);
  if (sum < kRansTotal) {
    out[most_frequent(out)] =
        static_cast<std::uint16_t>(out[most_frequent(out)] + kRansTotal - sum);
  }
  for (std::uint32_t excess = sum > kRansTotal ? sum - kRansTotal : 0; excess > 0; --excess) {
    --out[most_frequent(out)];
  }
  return out;
}

std::uint64_t coded_bits(const SymbolCounts& counts, const Frequencies& frequencies) {
  std::uint64_t bits = 0;
  for (std::size_t s = 0; s < counts.size(); ++s) {
    bits += std::uint64_t{counts[s]} * (kRansBits * 256 - log2_256ths(frequencies[s]));
  }
  return (bits + 255) / 256;
}

void write_frequencies(const Frequencies& frequencies, PayloadWriter& out) {
  std::size_t first = 0, last = frequencies.size();
  while (first < last && frequencies[first] == 0) ++first;
  while (last > first && frequencies[last - 1] == 0) --last;
  if (first == last) {  // first beyond last: none
    out.u8(1);
    out.u8(0);
    return;
  }
  out.u8(static_cast<std::uint8_t>(first));
  out.u8(static_cast<std::uint8_t>(last - 1));
  for (std::size_t s = first; s < last; ++s) out.varint(frequencies[s]);
}

Result<Frequencies> read_frequencies(PayloadReader& in) {
  Frequencies out{};
  KILTER_ASSIGN(const std::size_t first, in.u8());
  KILTER_ASSIGN(const std::size_t last, in.u8());
  if (first > last) return out;
  std::uint32_t sum = 0;
  for (std::size_t s = first; s <= last; ++s) {
    KILTER_ASSIGN(const std::uint32_t part, in.varint());
    if (part > kRansTotal - sum) return corrupt("frequencies add up to more than 4096");
    out[s] = static_cast<std::uint16_t>(part);
    sum += part;
  }
  if (sum != kRansTotal) return corrupt("frequencies add up to " + std::to_string(sum));
  return out;
}

void fill_encode_table(const Frequencies& frequencies, std::uint32_t* entries) {
  std::uint32_t start = 0;
  for (std::size_t s = 0; s < frequencies.size(); ++s) {
    entries[s] = start << 16 | frequencies[s];
    start += frequencies[s];
  }
}

void fill_decode_table(const Frequencies& frequencies, std::uint32_t* entries) {
  std::uint32_t start = 0;
  for (std::uint32_t s = 0; s < frequencies.size(); ++s) {
    const std::uint32_t count = frequencies[s];
    for (std::uint32_t i = 0; i < count; ++i) entries[start + i] = (count - 1) << 20 | i << 8 | s;
    start += count;
  }
  if (start != 0) return;
  for (std::uint32_t i = 0; i < kRansTotal; ++i) entries[i] = (kRansTotal - 1) << 20 | i << 8;
}

}  // namespace kilter::store
