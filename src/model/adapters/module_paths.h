// One module, several spellings: levels joined with '_' parted again, the original Stable Diffusion
// names and diffusers' names of the same layers.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace kilter::model {

/// "down_blocks_0_attentions_1_proj_in" -> "down_blocks.0.attentions.1.proj_in", by the words that
/// are one level in known models. Joining its levels with '_' gives `flat` again.
std::string part_levels(std::string_view flat);

/// Levels joined with '_', as kohya's names have them.
std::string join_levels(std::string_view path);

/// A layer of the UNet of SD 1, 2 or XL under diffusers' name -> its original name without
/// "model.diffusion_model.": "down_blocks.1.resnets.0.conv1" -> "input_blocks.4.0.in_layers.2".
/// nullopt for paths that are no such layer.
/// `xl`: the first block of the way up has attentions, and its upsampler stands behind them.
std::optional<std::string> original_unet_path(std::string_view diffusers_path, bool xl);
/// The other way round; what the upsampler's number is says itself.
std::optional<std::string> diffusers_unet_path(std::string_view original_path);

/// OpenCLIP's layer names -> those of transformers' CLIP text model, without "text_model.":
/// "transformer.resblocks.3.mlp.c_fc" -> "encoder.layers.3.mlp.fc1". The joined projection is three
/// layers there: `third` is 0, 1 or 2 for q, k, v. nullopt for paths that are no such layer.
std::optional<std::string> clip_text_path(std::string_view openclip_path, int third = 0);

}  // namespace kilter::model
