// kilter average --federated: one round of federated averaging. Owned by the floor `ops`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kilter/weights.h"

namespace kilter {

struct FederatedOptions : BlendOptions {
  /// How many samples each client trained on. Empty: what the clients' files state as
  /// `num_samples`, `num_examples`, `sample_count` or `n_samples` (in a file's metadata, in
  /// config.json, or as a value beside the tensors).
  std::vector<double> samples;
  bool equal = false;               ///< all clients count alike, whatever they state
  std::optional<double> norm_max;   ///< clients whose update has a larger L2 norm are rejected
  std::optional<double> ratio_max;  ///< … larger than this times the median of the norms
  std::optional<double> clip;       ///< updates with a larger L2 norm are scaled down to it
  /// The noise's standard deviation, in units of the largest part one client can have (clip times
  /// the largest weight). 0: none. Needs `clip`.
  double noise = 0;
  /// Absent: drawn from the system and kept out of the recipe, so that nobody can take the noise
  /// away again (and the average cannot be made again).
  std::optional<std::uint64_t> seed;
  double delta = 1e-5;  ///< of the privacy bound
};

struct FederatedClient {
  std::string address;
  double samples = 0;    ///< 0 where `equal`
  double weight = 0;     ///< its part; 0 if it was rejected
  double norm = 0;       ///< L2, of its update over all float tensors
  double scale = 1;      ///< below 1 where it was clipped
  std::string rejected;  ///< why; empty if it was not
};

struct FederatedReport : WeightsReport {
  std::vector<FederatedClient> clients;
  double noise_deviation = 0;     ///< of each number
  std::optional<double> epsilon;  ///< with noise: the round is (epsilon, delta)-private
  double delta = 0;
};

/// base + sum of weight_i * scale_i * (client_i - base), the weights being the accepted clients'
/// shares of all their samples. Clients are rejected, not the round, whose tensors are missing,
/// extra, of other shape or dtype (unless allowed), whose files are malformed, whose numbers are
/// not finite, or whose update is too large; at least one must be left.
///
/// Noise is added in binary64 before the one rounding, from a counter-based generator by seed,
/// tensor name and element: the same for any threads and memory.
///
/// Errors: kInvalidArgument for options that do not fit, for clients that state no count of samples
/// (all are named) and if every client is rejected; otherwise as average().
Result<FederatedReport> average_federated(const std::string& base,
                                          const std::vector<std::string>& clients,
                                          const std::string& target,
                                          const FederatedOptions& options = {});

/// The least epsilon for which noise of `multiplier` times the sensitivity makes one release
/// (epsilon, delta)-differentially private, exactly.
/// Errors: kInvalidArgument unless multiplier > 0 and 0 < delta < 1.
/// Source: Balle and Wang, Improving the Gaussian Mechanism for Differential Privacy (2018).
Result<double> gaussian_epsilon(double multiplier, double delta);

/// weights_json() with "clients", "noise_deviation", "epsilon", "delta".
std::string federated_json(const FederatedReport& report);

}  // namespace kilter
