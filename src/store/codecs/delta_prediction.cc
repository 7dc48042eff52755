#include "store/codecs/delta_prediction.h"

#include <algorithm>
#include <bit>
#include <vector>

#include "store/codecs/kernels/delta_kernel.h"
#include "store/codecs/sample.h"

namespace kilter::store {
namespace {

constexpr std::size_t kRatiosMin = 32;
constexpr std::size_t kWitnessesMax = 256;  // elements that candidates are tried on
constexpr double kNearby = 0x1p-20;         // relative: what rounding may have done to a ratio
constexpr int kUlpsAround = 2;

struct Pair {
  float from = 0, to = 0;
  double ratio = 0;
};

bool in_range(float value) {
  const std::uint32_t exponent = std::bit_cast<std::uint32_t>(value) >> 23 & 0xFF;
  return exponent >= kScaledExponentMin && exponent <= kScaledExponentMax;
}

std::vector<Pair> sample_pairs(Bytes plain, Bytes base) {
  const std::vector<std::byte> to = take_sample(plain, 4), from = take_sample(base, 4);
  std::vector<Pair> pairs;
  for (std::size_t i = 0; i < to.size(); i += 4) {
    Pair pair{std::bit_cast<float>(load_le<std::uint32_t>(from, i)),
              std::bit_cast<float>(load_le<std::uint32_t>(to, i))};
    if (!in_range(pair.from) || !in_range(pair.to)) continue;
    pair.ratio = double{pair.to} / double{pair.from};
    if (pair.ratio > 0) pairs.push_back(pair);
  }
  std::sort(pairs.begin(), pairs.end(), [](const Pair& a, const Pair& b) {
    if (a.ratio != b.ratio) return a.ratio < b.ratio;
    return std::bit_cast<std::uint32_t>(a.from) < std::bit_cast<std::uint32_t>(b.from);
  });
  return pairs;
}

/// The middle of the narrowest range that holds one ratio in 32.
std::size_t densest(std::span<const Pair> pairs) {
  const std::size_t width = std::max<std::size_t>(pairs.size() / 32, 8);
  std::size_t best = 0;
  double best_spread = 1e300;
  for (std::size_t i = 0; i + width < pairs.size(); ++i) {
    const double spread = pairs[i + width].ratio / pairs[i].ratio;
    if (spread < best_spread) best_spread = spread, best = i;
  }
  return best + width / 2;
}

std::vector<Pair> take_witnesses(std::span<const Pair> pairs, std::size_t centre) {
  const double ratio = pairs[centre].ratio;
  std::vector<Pair> out;
  const auto near = [&](std::size_t i) {
    return pairs[i].ratio > ratio * (1 - kNearby) && pairs[i].ratio < ratio * (1 + kNearby);
  };
  std::size_t first = centre, last = centre;
  while (first > 0 && near(first - 1)) --first;
  while (last + 1 < pairs.size() && near(last + 1)) ++last;
  const std::size_t step = (last - first) / kWitnessesMax + 1;
  for (std::size_t i = first; i <= last; i += step) out.push_back(pairs[i]);
  return out;
}

double power(double value, unsigned exponent) {
  double out = 1;
  for (unsigned i = 0; i < exponent; ++i) out *= value;
  return out;
}

/// The largest float whose power is not above `ratio`: positive floats sort as their bits do.
std::uint32_t root_bits(double ratio, unsigned exponent) {
  std::uint32_t low = 0, high = 0x7F000000;
  while (high - low > 1) {
    const std::uint32_t middle = low + (high - low) / 2;
    (power(double{std::bit_cast<float>(middle)}, exponent) <= ratio ? low : high) = middle;
  }
  return low;
}

std::size_t count_exact(std::span<const Pair> witnesses, const Prediction& prediction) {
  std::size_t exact = 0;
  for (const Pair& pair : witnesses) {
    float value = pair.from;
    for (unsigned k = 0; k < prediction.repeats; ++k) value *= prediction.scale;
    exact += value == pair.to;
  }
  return exact;
}

}  // namespace

bool is_sound(const Prediction& prediction) {
  if (prediction.repeats == 0) return true;
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(prediction.scale);
  if (bits < 111U << 23 || bits >= 143U << 23) return false;  // 2^-16 to 2^16, positive
  const std::uint32_t exponent = bits >> 23;
  const std::uint32_t doublings = exponent < 127 ? 127 - exponent : exponent - 126;
  return prediction.repeats <= kPredictionRepeatsMax && doublings * prediction.repeats <= 16;
}

Prediction find_prediction(Element element, Bytes plain, Bytes base) {
  if (element != Element::kF32) return {};
  const std::vector<Pair> pairs = sample_pairs(plain, base);
  if (pairs.size() < kRatiosMin) return {};
  const std::size_t centre = densest(pairs);
  const std::vector<Pair> witnesses = take_witnesses(pairs, centre);

  Prediction best{1, std::bit_cast<float>(root_bits(pairs[centre].ratio, 1))};
  std::size_t best_exact = 0;
  for (std::uint8_t repeats = 1; repeats <= kPredictionRepeatsMax; ++repeats) {
    const std::uint32_t root = root_bits(pairs[centre].ratio, repeats);
    for (int ulps = -kUlpsAround; ulps <= kUlpsAround + 1; ++ulps) {
      const Prediction tried{repeats,
                             std::bit_cast<float>(root + static_cast<std::uint32_t>(ulps))};
      if (!is_sound(tried)) continue;
      const std::size_t exact = count_exact(witnesses, tried);
      if (exact > best_exact) best = tried, best_exact = exact;
    }
  }
  if (!is_sound(best) || best.scale == 1.0F) return {};
  return best;
}

}  // namespace kilter::store
