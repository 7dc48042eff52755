// kilter ema: averages over a series of checkpoints. Owned by the floor `ops`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kilter/weights.h"

namespace kilter {

/// How an average remembers: shadow <- d * shadow + (1 - d) * weights, checkpoint by checkpoint;
/// the first checkpoint is the first shadow.
struct EmaProfile {
  enum class Kind : std::uint8_t {
    kConstant,  ///< d = decay
    kWarmUp,    ///< d = min(decay, (1 + n) / (10 + n)), n = 1 for the second checkpoint
    kPower,     ///< d = (1 - 1/n)^(gamma + 1), n = 1 for the first (Karras et al. 2024, eq. 127)
  };
  Kind kind = Kind::kConstant;
  double decay = 0.999;  ///< between 0 and 1
  double gamma = 0;      ///< of kPower; at least 0
  /// The shadow begins at 0 and is divided by 1 - (product of all d). Not with kPower, which never
  /// is biased.
  bool correct_bias = false;
};

/// The same in closed form: one coefficient for each of `count` checkpoints, oldest first.
/// Errors: kInvalidArgument for numbers out of range and for no checkpoints.
Result<std::vector<double>> ema_coefficients(std::size_t count, const EmaProfile& profile);

/// A power function average that training kept, or one that is wanted: its profile and the time it
/// was taken at (steps, images, …; the same unit for all).
struct PowerEma {
  double sigma_rel = 0;  ///< width relative to `at`: more than 0, at most 0.288675 (gamma 0)
  double at = 0;
};
/// gamma for a relative width. Errors: kInvalidArgument.
/// Source: Karras et al., Analyzing and Improving the Training Dynamics of Diffusion Models (2024).
Result<double> power_ema_gamma(double sigma_rel);

/// Coefficients of the stored averages whose sum comes nearest to the wanted one: least squares
/// between the profiles. `error` is the norm of what is left, relative to the wanted profile's.
struct EmaFit {
  std::vector<double> coefficients;
  double error = 0;
};
/// Errors: kInvalidArgument for numbers out of range and for profiles that are stored twice.
Result<EmaFit> fit_power_ema(const std::vector<PowerEma>& stored, const PowerEma& wanted);

struct EmaReport : WeightsReport {
  std::vector<double> coefficients;  ///< one for each of `sources`
  /// Of them below 2^-60 of the sum of all: those sources were not read.
  std::vector<std::string> dropped;
  std::optional<double> fit_error;  ///< of ema_post_hoc()
};

/// The average over `sources`, oldest first. One blend with the coefficients above: what
/// ema_coefficients() gives, not the recursion's rounding at every step.
/// Errors: as average() and ema_coefficients().
Result<EmaReport> ema(const std::vector<std::string>& sources, const std::string& target,
                      const EmaProfile& profile, const BlendOptions& options = {});

/// Another profile from power function averages that were stored (one of `stored` for each of
/// `sources`). Errors: as average() and fit_power_ema().
Result<EmaReport> ema_post_hoc(const std::vector<std::string>& sources,
                               const std::vector<PowerEma>& stored, const PowerEma& wanted,
                               const std::string& target, const BlendOptions& options = {});

/// weights_json() with "coefficients", "dropped" and "fit_error".
std::string ema_json(const EmaReport& report);

}  // namespace kilter
