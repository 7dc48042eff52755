// What made the second checkpoint of the first, from the numbers found.
#pragma once

#include "kilter/weights_diff.h"

namespace kilter::ops {

/// Appends to `guesses` what the interpolation and the spectra speak for.
void guess_origin(CheckpointDiff& diff);

}  // namespace kilter::ops
