#include "ops/merge/thinning.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "base/hash.h"
#include "ops/merge/kernels/merge_lanes.h"

namespace kilter::ops {

std::uint32_t limit_of_chance(double chance) {
  const double scaled = std::ceil(std::clamp(chance, 0.0, 1.0) * 0x1p32);
  return static_cast<std::uint32_t>(std::clamp(scaled, 1.0, 0x1p32) - 1.0);
}

PhiloxKey merge_random_key(const TensorMerge& merge) {
  constexpr std::string_view kWhat = "kilter merge 1\n";
  std::array<std::byte, 8> seed;
  for (std::size_t i = 0; i < seed.size(); ++i)
    seed[i] = static_cast<std::byte>(merge.seed >> (8 * i) & 0xFF);
  Blake3 hash;
  hash.update(std::as_bytes(std::span(kWhat)));
  hash.update(seed);
  hash.update(std::as_bytes(std::span(merge.name)));
  const Digest256 digest = hash.finish();
  PhiloxKey key;
  std::memcpy(&key.low, digest.data(), 4);
  std::memcpy(&key.high, digest.data() + 4, 4);
  return key;
}

Thinner::Thinner(const TensorMerge& merge)
    : terms_(merge.terms.size()), key_(merge_random_key(merge)) {
  for (const MergeTerm& term : merge.terms)
    wide_.push_back(term.dtype == DType::kF64 || merge.base->dtype == DType::kF64);
}

void Thinner::apply(std::size_t term, std::uint64_t first, std::size_t count, const double* base,
                    const std::uint32_t* limits, double* x) const {
  using By = TermThinning::By;
  const TermThinning& how = terms_[term];
  if (how.by == By::kNothing) return subtract(base, count, x);
  if (how.by == By::kRank)
    return subtract_between(base, wide_[term], first, count, how.bottom, how.top, x);
  std::array<std::uint32_t, kMergeBlockElements> words;
  random_bits(key_, static_cast<std::uint32_t>(term), first, count, words.data());
  if (how.by == By::kChance) return subtract_up_to(base, words.data(), how.limit, count, x);
  subtract(base, count, x);
  keep_up_to_each(words.data(), limits, count, x);
  if (how.divides_by_chance) divide_by_chance(limits, count, x);
}

KeptSums Thinner::sums(std::size_t term, std::uint64_t first, std::size_t count, const double* base,
                       const std::uint32_t* limits, double* x) const {
  const TermThinning& how = terms_[term];
  if (how.by == TermThinning::By::kChance) {
    std::array<std::uint32_t, kMergeBlockElements> words;
    random_bits(key_, static_cast<std::uint32_t>(term), first, count, words.data());
    return kept_sums(x, base, words.data(), how.limit, count);
  }
  KeptSums out;
  out.all = difference_sum(x, base, count);
  apply(term, first, count, base, limits, x);
  out.kept = magnitude_sum(x, count);
  return out;
}

}  // namespace kilter::ops
