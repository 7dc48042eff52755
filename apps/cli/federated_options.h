// What `kilter average --federated` reads and prints.
#pragma once

#include <cstddef>
#include <iterator>

#include "kilter/federated.h"

#include "cli/command.h"

namespace kilter::cli {

inline constexpr OptionSpec kFederatedOptions[] = {
    {"--federated", ValueKind::kFlag, "",
     "One round of federated averaging: SRC are clients, weighted by the samples they state"},
    {"--base", ValueKind::kPath, "G", "With --federated: the model that the clients were given"},
    {"--samples", ValueKind::kText, "N,N",
     "With --federated: samples of each SRC; default: as its metadata state"},
    {"--equal", ValueKind::kFlag, "", "With --federated: all clients count alike"},
    {"--max-norm", ValueKind::kText, "X",
     "With --federated: reject updates whose L2 norm is above X"},
    {"--max-update-ratio", ValueKind::kText, "K",
     "With --federated: reject updates whose norm is above K times the median"},
    {"--clip", ValueKind::kText, "C", "With --federated: scale larger updates down to L2 norm C"},
    {"--noise", ValueKind::kText, "SIGMA",
     "With --clip: Gaussian noise of deviation SIGMA * C * (largest weight of a client)"},
    {"--seed", ValueKind::kText, "N",
     "Of the noise; recorded in the recipe. Default: drawn afresh and kept secret"},
    {"--delta", ValueKind::kText, "D", "Of the privacy bound; default 1e-5"},
};

/// A command's own options, then these.
template <std::size_t Own>
constexpr auto with_federated_options(const OptionSpec (&own)[Own]) {
  struct Joined {
    OptionSpec rows[Own + std::size(kFederatedOptions)];
  } out{};
  for (std::size_t i = 0; i < Own; ++i) out.rows[i] = own[i];
  for (std::size_t i = 0; i < std::size(kFederatedOptions); ++i)
    out.rows[Own + i] = kFederatedOptions[i];
  return out;
}

/// Average over the clients in `sources`. Errors: as average_federated(); kInvalidArgument.
Result<FederatedReport> make_federated(const Invocation& invocation,
                                       const std::vector<std::string>& sources);
/// Clients, who was rejected and why, the privacy bound and what it assumes.
int print_federated(const Result<FederatedReport>& report, const Invocation& invocation);

/// "3,1.5". Errors: kInvalidArgument that names the option.
Result<std::vector<double>> read_number_list(const Arguments& arguments, std::string_view name);

}  // namespace kilter::cli
