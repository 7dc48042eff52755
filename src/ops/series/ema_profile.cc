// Decay profiles in closed form, and the least squares between them.
#include <algorithm>
#include <cmath>

#include "kilter/series.h"

#include "base/try.h"

namespace kilter {
namespace {

constexpr double kSigmaRelMax = 0.28867513459481288;  // 1 / sqrt(12): gamma 0
constexpr double kGammaMax = 1e9;

tl::unexpected<Error> bad_profile(std::string what) {
  return fail(ErrorCode::kInvalidArgument, std::move(what));
}

/// The decay when checkpoint `number` (from 1) comes in.
double ema_decay_at(const EmaProfile& profile, std::size_t number) {
  const auto n = static_cast<double>(number);
  switch (profile.kind) {
    case EmaProfile::Kind::kWarmUp: {
      const double updates = profile.correct_bias ? n : n - 1;
      return std::min(profile.decay, (1 + updates) / (10 + updates));
    }
    case EmaProfile::Kind::kPower:
      return std::pow(1 - 1 / n, profile.gamma + 1);
    default:
      return profile.decay;
  }
}

double sigma_rel_of(double gamma) {
  return std::sqrt(gamma + 1) / (gamma + 2) / std::sqrt(gamma + 3);
}

/// The integral of the product of two profiles, each (gamma + 1) t^gamma / at^(gamma + 1) up to
/// its `at`.
long double profile_product(double gamma_a, double at_a, double gamma_b, double at_b) {
  if (at_a > at_b) return profile_product(gamma_b, at_b, gamma_a, at_a);
  const long double ratio = std::pow(static_cast<long double>(at_a) / at_b, gamma_b);
  return (gamma_a + 1.0L) * (gamma_b + 1.0L) / (gamma_a + gamma_b + 1.0L) * ratio / at_b;
}

using LongMatrix = std::vector<std::vector<long double>>;

/// Gauss with the largest pivot of each column. False where the rows depend on each other.
bool solve_in_place(LongMatrix a, std::vector<long double>& x) {
  const std::size_t n = x.size();
  for (std::size_t k = 0; k < n; ++k) {
    std::size_t best = k;
    for (std::size_t i = k + 1; i < n; ++i)
      if (std::fabs(a[i][k]) > std::fabs(a[best][k])) best = i;
    if (!(std::fabs(a[best][k]) > 1e-15L)) return false;
    std::swap(a[k], a[best]);
    std::swap(x[k], x[best]);
    for (std::size_t i = k + 1; i < n; ++i) {
      const long double factor = a[i][k] / a[k][k];
      for (std::size_t j = k; j < n; ++j) a[i][j] -= factor * a[k][j];
      x[i] -= factor * x[k];
    }
  }
  for (std::size_t k = n; k-- > 0;) {
    for (std::size_t j = k + 1; j < n; ++j) x[k] -= a[k][j] * x[j];
    x[k] /= a[k][k];
  }
  return true;
}

Status check_profile(const EmaProfile& profile) {
  if (profile.kind == EmaProfile::Kind::kPower) {
    if (profile.correct_bias) return bad_profile("a power function average has no bias to correct");
    if (profile.gamma >= 0 && profile.gamma <= kGammaMax) return ok();
    return bad_profile("gamma must be at least 0");
  }
  if (profile.decay > 0 && profile.decay < 1) return ok();
  return bad_profile("the decay must lie between 0 and 1");
}

}  // namespace

Result<std::vector<double>> ema_coefficients(std::size_t count, const EmaProfile& profile) {
  KILTER_TRY(check_profile(profile));
  if (count == 0) return bad_profile("there is nothing to average");
  std::vector<double> out(count);
  double kept = 1;  // what the later checkpoints leave of this one
  for (std::size_t i = count; i-- > 1;) {
    const double decay = ema_decay_at(profile, i + 1);
    out[i] = (1 - decay) * kept;
    kept *= decay;
  }
  out[0] = kept;
  if (!profile.correct_bias) return out;
  const double first = ema_decay_at(profile, 1);
  out[0] = (1 - first) * kept;
  for (double& one : out) one /= 1 - first * kept;
  return out;
}

Result<double> power_ema_gamma(double sigma_rel) {
  if (!(sigma_rel > 1e-8 && sigma_rel <= kSigmaRelMax))
    return bad_profile("a relative width lies above 0 and is at most 0.288675");
  double low = 0, high = 1e17;  // the width falls as gamma grows
  while (high - low > 0) {
    const double middle = low + (high - low) / 2;
    if (middle == low || middle == high) break;
    (sigma_rel_of(middle) > sigma_rel ? low : high) = middle;
  }
  return low;
}

Result<EmaFit> fit_power_ema(const std::vector<PowerEma>& stored, const PowerEma& wanted) {
  std::vector<PowerEma> all = stored;
  all.push_back(wanted);
  std::vector<double> gammas;
  for (const PowerEma& one : all) {
    if (!(one.at > 0 && std::isfinite(one.at)))
      return bad_profile("the time of an average must be more than 0");
    KILTER_ASSIGN(gammas.emplace_back(), power_ema_gamma(one.sigma_rel));
  }
  if (stored.empty()) return bad_profile("there is nothing to average");
  // Rows and columns are divided by the profiles' norms: what is left are cosines.
  const std::size_t n = stored.size();
  std::vector<long double> norms;
  for (std::size_t i = 0; i <= n; ++i)
    norms.push_back(std::sqrt(profile_product(gammas[i], all[i].at, gammas[i], all[i].at)));
  const auto cosine = [&](std::size_t i, std::size_t j) {
    return profile_product(gammas[i], all[i].at, gammas[j], all[j].at) / norms[i] / norms[j];
  };
  LongMatrix a(n, std::vector<long double>(n));
  std::vector<long double> b(n);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) a[i][j] = cosine(i, j);
    b[i] = cosine(i, n);
  }
  std::vector<long double> x = b;
  if (!solve_in_place(a, x))
    return bad_profile("two of the stored averages have the same profile, or nearly so");
  EmaFit fit;
  long double left = 1;
  for (std::size_t i = 0; i < n; ++i) {
    left -= x[i] * b[i];
    fit.coefficients.push_back(static_cast<double>(x[i] * norms[n] / norms[i]));
  }
  fit.error = static_cast<double>(std::sqrt(std::max(left, 0.0L)));
  return fit;
}

}  // namespace kilter
