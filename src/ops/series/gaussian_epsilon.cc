// The analytic Gaussian mechanism. Source: Balle and Wang 2018, Theorem 8.
#include <cmath>
#include <numbers>

#include "kilter/federated.h"

namespace kilter {
namespace {

/// log of the normal distribution up to x, also where it is far below the smallest number.
double log_normal_below(double x) {
  if (x > -30) return std::log(std::erfc(-x / std::numbers::sqrt2) / 2);
  const double square = x * x;  // the asymptotic series, to 1 part in 10^9
  const double series = 1 - 1 / square + 3 / (square * square) - 15 / (square * square * square);
  return -square / 2 - std::log(-x) - std::log(2 * std::numbers::pi) / 2 + std::log(series);
}

/// The least delta for this epsilon: Phi(1/2s - e s) - exp(e) Phi(-1/2s - e s).
double gaussian_delta(double multiplier, double epsilon) {
  const double half = 1 / (2 * multiplier), shift = epsilon * multiplier;
  const double first = std::exp(log_normal_below(half - shift));
  return first - std::exp(epsilon + log_normal_below(-half - shift));
}

}  // namespace

Result<double> gaussian_epsilon(double multiplier, double delta) {
  if (!(multiplier > 0 && std::isfinite(multiplier)))
    return fail(ErrorCode::kInvalidArgument, "the noise must be more than 0");
  if (!(delta > 0 && delta < 1))
    return fail(ErrorCode::kInvalidArgument, "delta must lie between 0 and 1");
  if (gaussian_delta(multiplier, 0) <= delta) return 0.0;
  double low = 0, high = 1;
  while (gaussian_delta(multiplier, high) > delta) high *= 2;
  for (int i = 0; i < 200 && high - low > 0; ++i) {
    const double middle = low + (high - low) / 2;
    if (middle == low || middle == high) break;
    (gaussian_delta(multiplier, middle) > delta ? low : high) = middle;
  }
  return high;
}

}  // namespace kilter
