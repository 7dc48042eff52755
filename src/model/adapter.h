// Adapters: which naming, what rank, for which model.
#pragma once

#include "kilter/identity.h"

#include "model/match.h"
#include "model/papers.h"

namespace kilter::model {

struct AdapterReport {
  bool is_adapter = false;  ///< most tensors belong to an adapter
  std::uint64_t adapter_tensors = 0;
};

/// Fills `adapter` and sizes ("rank", "alpha"), and for adapters the architecture they fit.
AdapterReport answer_adapter(const CheckpointData& data, const NameTable& names,
                             const Papers& papers, Identity* identity);

}  // namespace kilter::model
