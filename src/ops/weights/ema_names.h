// The averaged weights of Stable Diffusion checkpoints: `model_ema.` and the plain name without its
// first `model.` and all dots.
#pragma once

#include <string>

#include "kilter/merge.h"

#include "ops/weights/weights_input.h"

namespace kilter::ops {

/// Gives the averaged weights of `input` names as `ema` says: none, their own, or those of the
/// plain weights, which then have none. Checkpoints without them stay as they are.
void choose_ema_names(WeightsInput& input, EmaWeights ema);

/// The plain weight that the averaged weight `name` stands beside; other names as they are.
std::string plain_name_of_ema(const WeightsInput& input, const std::string& name);

}  // namespace kilter::ops
