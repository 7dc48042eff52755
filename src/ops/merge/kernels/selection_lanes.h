// Loops that choose among runs of weights: by the rank of a magnitude, or by chance. The same bits
// on every processor.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kilter::ops {

/// keys = the bits of |x - base| as binary32: larger magnitude, larger key; NaN above all. The
/// difference is one of binary32 unless `wide`: then of binary64, rounded.
void delta_keys(const double* x, const double* base, std::size_t count, bool wide,
                std::uint32_t* keys);
/// The same of |x|.
void magnitude_keys(const double* x, std::size_t count, std::uint32_t* keys);

/// The first `rank` elements in the order of larger key, then lower index: those with a larger key
/// than `key`, and those with that key before element `tie_end`.
struct RankCut {
  std::uint32_t key = 0;
  std::uint64_t tie_end = 0;
  bool operator==(const RankCut&) const = default;
};
inline constexpr RankCut kCutAll{0, ~std::uint64_t{0}};  ///< everything is above
inline constexpr RankCut kCutNone{0xFFFFFFFF, 0};        ///< nothing is

/// x *= 1 where an element is above `bottom` and not above `top`, else 0.
void keep_between(const std::uint32_t* keys, std::uint64_t first, std::size_t count,
                  const RankCut& bottom, const RankCut& top, double* x);
/// x = x - base, kept by the keys of delta_keys() as above.
void subtract_between(const double* base, bool wide, std::uint64_t first, std::size_t count,
                      const RankCut& bottom, const RankCut& top, double* x);

/// x = x - base where random <= limit, else 0.
void subtract_up_to(const double* base, const std::uint32_t* random, std::uint32_t limit,
                    std::size_t count, double* x);
/// Sums of |x - base|, of all and of those with random <= limit; in eight lanes.
struct KeptSums {
  double all = 0, kept = 0;
};
KeptSums kept_sums(const double* x, const double* base, const std::uint32_t* random,
                   std::uint32_t limit, std::size_t count);
/// x *= 1 where random <= limits, else 0.
void keep_up_to_each(const std::uint32_t* random, const std::uint32_t* limits, std::size_t count,
                     double* x);
/// x /= the chance that it is kept: (limit + 1) / 2^32.
void divide_by_chance(const std::uint32_t* limits, std::size_t count, double* x);

/// Those with low <= key <= high, in order, as offsets and keys; `above` grows by how many lie
/// beyond. Both outputs have room for count + 64. Returns how many.
std::size_t collect_window(const std::uint32_t* keys, std::size_t count, std::uint32_t low,
                           std::uint32_t high, std::uint64_t* above, std::uint32_t* offsets,
                           std::uint32_t* out_keys);

}  // namespace kilter::ops
