// Statistics and differences of checkpoints as pages.
#pragma once

#include <string>

#include "kilter/stats.h"
#include "kilter/weights_diff.h"

namespace kilter::cli {

std::string stats_page(const CheckpointStats& stats);
std::string diff_page(const CheckpointDiff& diff);

}  // namespace kilter::cli
