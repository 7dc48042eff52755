// kilter merge --a A --b B: as the web UIs merge checkpoints. Owned by the floor `ops`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kilter/weights.h"

namespace kilter {

enum class MergeWay : std::uint8_t {
  /// "weighted": (1 - ratio) * a + ratio * b. Ratio 0 is `a`, as in the checkpoint mergers of the
  /// web UIs (ComfyUI's ModelMergeSimple counts the other way: its ratio 1 is the first model).
  kWeighted,
  /// "slerp": on the great circle from a to b, tensor by tensor: sin((1 - ratio) w) / sin w * a +
  /// sin(ratio w) / sin w * b, w the angle between the two; straight where |cos w| > 0.9995 or one
  /// is zero. Reads both twice.
  kSlerp,
  /// "add-difference": a + ratio * b - ratio * c
  kAddDifference,
};
std::string_view merge_way_name(MergeWay way);
std::optional<MergeWay> merge_way_from_name(std::string_view name);

/// What becomes of the averaged weights that Stable Diffusion checkpoints keep beside the plain
/// ones, under `model_ema.` without the dots.
enum class EmaWeights : std::uint8_t {
  kDrop,  ///< "drop": they are left out
  kKeep,  ///< "keep": they are blended like the plain ones
  kUse,   ///< "use": they stand for the plain ones, in every input that has them
};
std::string_view ema_weights_name(EmaWeights ema);
std::optional<EmaWeights> ema_weights_from_name(std::string_view name);

struct MergeOptions : BlendOptions {
  /// Ratios block by block of a Stable Diffusion UNet: 26 numbers (SD 1 and 2: BASE, IN00 … IN11,
  /// M00, OUT00 … OUT11), 20 (SDXL), "BASE=0.2,IN00-IN05=0.5,OUT=1" or a preset's name. Blocks not
  /// named have the merge's ratio. Empty: none.
  std::string block_weights;
  /// A checkpoint whose tensors replace the output's `first_stage_model.`. Empty: none.
  std::string vae;
  EmaWeights ema = EmaWeights::kDrop;
  std::vector<std::string> discard;  ///< globs of names that are left out
};

/// Two models blended, or a + ratio * (b - c). Where a UNet's first convolution has 9 or 8 input
/// channels in a and 4 in the others (inpainting, instruct-pix2pix), the first 4 are blended and
/// the rest are a's.
///
/// Errors: as average(); kInvalidArgument for block weights that do not fit the UNet, a VAE that
/// lacks tensors of `a`'s or has other shapes, a glob that matches nothing.
Result<WeightsReport> merge_models(MergeWay way, const std::vector<std::string>& sources,
                                   double ratio, const std::string& target,
                                   const MergeOptions& options = {});

}  // namespace kilter
