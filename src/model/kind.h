// What this checkpoint is an instance of, what type of model it is, and under which licence.
#pragma once

#include "kilter/identity.h"

#include "model/adapter.h"
#include "model/match.h"
#include "model/papers.h"
#include "model/unwrap.h"

namespace kilter::model {

/// Fills `instance`. Needs architecture and adapter.
void answer_instance(const CheckpointData& data, const Placement& placement, const NameTable& names,
                     const AdapterReport& adapter, Identity* identity);

/// Fills `type`, as far as the content shows.
void answer_type(const CheckpointData& data, const Placement& placement,
                 const Components& components, const Papers& papers, const AdapterReport& adapter,
                 Identity* identity);

/// Fills `licence`.
void answer_licence(const CheckpointData& data, const Papers& papers, Identity* identity);

}  // namespace kilter::model
