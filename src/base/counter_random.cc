#include "base/counter_random.h"

#include <cmath>
#include <cstddef>
#include <numbers>
#include <span>

#include "base/hash.h"

namespace kilter {
namespace {

constexpr std::uint32_t kMultipliers[2] = {0xD2511F53, 0xCD9E8D57};
constexpr std::uint32_t kWeyl[2] = {0x9E3779B9, 0xBB67AE85};
constexpr int kRounds = 10;

std::uint32_t little_endian(const Digest256& digest, std::size_t word) {
  std::uint32_t out = 0;
  for (std::size_t i = 0; i < 4; ++i)
    out |= std::to_integer<std::uint32_t>(digest[4 * word + i]) << (8 * i);
  return out;
}

/// The natural logarithm of a normal number, from exactly rounded operations alone: libraries
/// differ in the last bit. log m = 2 artanh((m - 1) / (m + 1)), m within [sqrt 1/2, sqrt 2).
double portable_log(double x) {
  constexpr int kTerms = 21;  // |z| < 0.1716: the next term is below 2^-110
  int exponent = 0;
  double mantissa = std::frexp(x, &exponent);
  if (mantissa < std::numbers::sqrt2 / 2) {
    mantissa *= 2;
    --exponent;
  }
  const double z = (mantissa - 1) / (mantissa + 1), square = z * z;
  double sum = 0;
  for (int k = kTerms; k >= 0; --k) sum = sum * square + 1.0 / (2 * k + 1);
  return exponent * std::numbers::ln2 + 2 * z * sum;
}

double polynomial(std::span<const double> coefficients, double x) {
  double out = 0;
  for (std::size_t i = coefficients.size(); i-- > 0;) out = out * x + coefficients[i];
  return out;
}

// AS 241's rational functions PPND16: the middle, the sides, the far tails.
constexpr double kMiddleOver[] = {3.3871328727963666080e0, 1.3314166789178437745e2,
                                  1.9715909503065514427e3, 1.3731693765509461125e4,
                                  4.5921953931549871457e4, 6.7265770927008700853e4,
                                  3.3430575583588128105e4, 2.5090809287301226727e3};
constexpr double kMiddleUnder[] = {1.0,
                                   4.2313330701600911252e1,
                                   6.8718700749205790830e2,
                                   5.3941960214247511077e3,
                                   2.1213794301586595867e4,
                                   3.9307895800092710610e4,
                                   2.8729085735721942674e4,
                                   5.2264952788528545610e3};
constexpr double kSideOver[] = {1.42343711074968357734e0,  4.63033784615654529590e0,
                                5.76949722146069140550e0,  3.64784832476320460504e0,
                                1.27045825245236838258e0,  2.41780725177450611770e-1,
                                2.27238449892691845833e-2, 7.74545014278341407640e-4};
constexpr double kSideUnder[] = {1.0,
                                 2.05319162663775882187e0,
                                 1.67638483018380384940e0,
                                 6.89767334985100004550e-1,
                                 1.48103976427480074590e-1,
                                 1.51986665636164571966e-2,
                                 5.47593808499534494600e-4,
                                 1.05075007164441684324e-9};
constexpr double kTailOver[] = {6.65790464350110377720e0,  5.46378491116411436990e0,
                                1.78482653991729133580e0,  2.96560571828504891230e-1,
                                2.65321895265761230930e-2, 1.24266094738807843860e-3,
                                2.71155556874348757815e-5, 2.01033439929228813265e-7};
constexpr double kTailUnder[] = {1.0,
                                 5.99832206555887937690e-1,
                                 1.36929880922735805310e-1,
                                 1.48753612908506148525e-2,
                                 7.86869131145613259100e-4,
                                 1.84631831751005468180e-5,
                                 1.42151175831644588870e-7,
                                 2.04426310338993978564e-15};

}  // namespace

PhiloxBlock philox(PhiloxBlock counter, std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < kRounds; ++round) {
    const std::uint64_t a = std::uint64_t{kMultipliers[0]} * counter[0];
    const std::uint64_t b = std::uint64_t{kMultipliers[1]} * counter[2];
    counter = {
        static_cast<std::uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(b),
        static_cast<std::uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(a)};
    key = {key[0] + kWeyl[0], key[1] + kWeyl[1]};
  }
  return counter;
}

CounterRandom::CounterRandom(std::uint64_t seed, std::string_view name) {
  std::array<std::byte, 8> bytes;
  for (unsigned i = 0; i < 8; ++i) bytes[i] = static_cast<std::byte>(seed >> (8 * i));
  Blake3 hasher;
  hasher.update(std::as_bytes(std::span(std::string_view("kilter random 1\n"))));
  hasher.update(bytes);
  hasher.update(std::as_bytes(std::span(name)));
  const Digest256 digest = hasher.finish();
  key_ = {little_endian(digest, 0), little_endian(digest, 1)};
  stream_ = {little_endian(digest, 2), little_endian(digest, 3)};
}

std::uint64_t CounterRandom::bits(std::uint64_t index) const {
  const std::uint64_t block = index / 2;
  const PhiloxBlock out = philox({static_cast<std::uint32_t>(block),
                                  static_cast<std::uint32_t>(block >> 32), stream_[0], stream_[1]},
                                 key_);
  const std::size_t half = 2 * (index % 2);
  return out[half] | std::uint64_t{out[half + 1]} << 32;
}

double CounterRandom::uniform(std::uint64_t index) const {
  return (static_cast<double>(bits(index) >> 12) + 0.5) * 0x1p-52;  // exact
}

double CounterRandom::normal(std::uint64_t index) const { return normal_quantile(uniform(index)); }

double normal_quantile(double p) {
  const double q = p - 0.5;
  if (std::fabs(q) <= 0.425) {
    const double r = 0.180625 - q * q;
    return q * polynomial(kMiddleOver, r) / polynomial(kMiddleUnder, r);
  }
  const double r = std::sqrt(-portable_log(q < 0 ? p : 1 - p));
  const double size = r <= 5 ? polynomial(kSideOver, r - 1.6) / polynomial(kSideUnder, r - 1.6)
                             : polynomial(kTailOver, r - 5) / polynomial(kTailUnder, r - 5);
  return q < 0 ? -size : size;
}

}  // namespace kilter
