// What the checkpoint itself says: step, loss, learning rate, versions, training settings.
#pragma once

#include "kilter/identity.h"

#include "model/papers.h"

namespace kilter::model {

/// Appends to identity->stated, bounded in count and length.
void collect_stated(const CheckpointData& data, const Papers& papers, Identity* identity);

}  // namespace kilter::model
