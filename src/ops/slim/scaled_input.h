// f8 weights of a checkpoint that have scales, in the layouts people have.
#pragma once

#include <map>
#include <string>

#include "ops/slim/scale_grid.h"
#include "ops/weights/weights_input.h"

namespace kilter::ops {

struct ScaledInput {
  std::map<std::size_t, SharedScales> scales;   ///< by tensor that has some
  std::map<std::size_t, std::string> consumed;  ///< tensors that are scales or say so, and why they
                                                ///< go when the weights are multiplied out
};

/// X.weight with X.weight_scale_inv (blocks, rows or one), X.weight_scale or X.scale_weight (rows
/// or one), of f32, bf16, f16 or f8_e8m0fnu; each multiplies. Blocks are those of config.json's
/// weight_block_size, else 128 by 128. Reads the scales.
/// Errors: kUnsupported for scales whose weights or shapes are something else, named; kMalformed
/// for scales that are not finite; as reading them.
Result<ScaledInput> find_scaled_weights(const WeightsInput& input);

/// For operations that cannot tell what scaled weights are. Errors: kUnsupported, naming the first.
Status refuse_scaled_weights(const WeightsInput& input, const std::string& verb);

}  // namespace kilter::ops
