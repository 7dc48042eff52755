// What the clients of a federated round sent: whether it fits, how far it is from the base.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "kilter/federated.h"

#include "ops/weights/weights_input.h"

namespace kilter::ops {

/// One client that was opened, or is rejected already.
struct ClientUpdate {
  std::optional<WeightsInput> input;
  FederatedClient said;
};

/// Opens them all. A malformed one is rejected; an absent or unreadable one is an error.
Result<std::vector<ClientUpdate>> open_clients(const std::vector<std::string>& addresses,
                                               const OpenOptions& options);

/// Rejects clients whose tensors are not the base's, as far as that is not allowed.
void reject_misshapen(const WeightsInput& base, const FederatedOptions& options,
                      std::vector<ClientUpdate>& clients);

/// Measures every update that is not rejected yet and rejects those that are not finite or too
/// large.
Status measure_updates(const WeightsInput& base, const FederatedOptions& options,
                       std::vector<ClientUpdate>& clients);

/// Samples and weights of those that are not rejected. Errors: kInvalidArgument.
Status weigh_clients(const FederatedOptions& options, std::vector<ClientUpdate>& clients);

}  // namespace kilter::ops
