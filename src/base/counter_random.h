// Random numbers that are looked up, not drawn: number i of a stream is the same whoever asks, in
// whatever order, on any machine.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace kilter {

/// Philox4x32-10: 128 random bits from a counter and a key.
/// Source: Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3 (SC 2011).
using PhiloxBlock = std::array<std::uint32_t, 4>;
PhiloxBlock philox(PhiloxBlock counter, std::array<std::uint32_t, 2> key);

/// The stream of random numbers that `seed` and `name` (a tensor's) stand for.
///
/// Key and upper half of the counter are the first 16 bytes of BLAKE3("kilter random 1\n", seed as
/// 8 bytes little-endian, name); the lower half is index / 2. Not for secrets: whoever sees enough
/// of a stream can find the rest of it.
class CounterRandom {
 public:
  CounterRandom(std::uint64_t seed, std::string_view name);

  /// 64 random bits.
  std::uint64_t bits(std::uint64_t index) const;
  /// Between 0 and 1, never either: (the upper 52 bits + 1/2) / 2^52.
  double uniform(std::uint64_t index) const;
  /// Of the normal distribution with mean 0 and deviation 1: normal_quantile(uniform(index)).
  double normal(std::uint64_t index) const;

 private:
  std::array<std::uint32_t, 2> key_{};
  std::array<std::uint32_t, 2> stream_{};
};

/// Where the normal distribution has reached `p`, to about 1 part in 10^16. Only additions,
/// multiplications, divisions and square roots: the same bits on every machine.
/// `p` lies between 0 and 1. Source: Wichura, Algorithm AS 241 (Applied Statistics 37, 1988).
double normal_quantile(double p);

}  // namespace kilter
