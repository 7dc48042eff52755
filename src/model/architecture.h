// Family, variant and sizes, from the components found and from what configurations claim.
#pragma once

#include "kilter/identity.h"

#include "model/match.h"
#include "model/papers.h"

namespace kilter::model {

/// What a configuration file claims the model to be.
struct Claim {
  const ConfigRow* row = nullptr;
  std::string text;  ///< "config.json: model_type llama"; also where no row knows the value
};
Claim read_claim(const Papers& papers);

/// Fills architecture, variant and sizes. Needs parameter_count.
void answer_architecture(const CheckpointData& data, const NameTable& names,
                         const Components& components, const Papers& papers, Identity* identity);

}  // namespace kilter::model
