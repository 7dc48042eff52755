// How scaled f8 weights are written, in the layouts that others read. Source: docs/guide/slim.md.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kilter/weights.h"

namespace kilter::ops {

/// Errors: kInvalidArgument for a dtype that the layout's readers do not take, or blocks that are
/// none.
Status check_scales(const WeightScales& scales, DType dtype);

/// Why `rows` by `columns` cannot be written so that every reader takes it; "" if it can: where a
/// side is longer than a block it must be a multiple of it. transformers finds blocks by dividing.
std::string why_not_in_blocks(const WeightScales& scales, std::uint64_t rows,
                              std::uint64_t columns);

/// "a.weight_scale_inv" of "a.weight".
std::string scale_name_of(ScaleLayout layout, const std::string& weight);
std::vector<std::int64_t> scale_shape_of(const WeightScales& scales, std::uint64_t rows,
                                         std::uint64_t columns);

/// ComfyUI looks for its marker where the diffusion model begins: "model.diffusion_model." of a
/// full checkpoint, else "".
std::string comfyui_prefix(const std::vector<std::string>& names);

/// What config.json says under "quantization_config", as JSON; empty for layouts that need none.
/// `kept` are the modules whose weights have no scales.
std::string quantization_config_of(const WeightScales& scales,
                                   const std::vector<std::string>& kept);

}  // namespace kilter::ops
