// Ratios block by block of a Stable Diffusion UNet, as the web UIs' block-weighted mergers take
// them.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "kilter/error.h"

namespace kilter::ops {

/// Where a tensor of a single-file checkpoint belongs: BASE (text encoders and whatever is not the
/// UNet), VAE, IN00 …, M00, OUT00 ….
struct BlockPlace {
  enum class Part : std::uint8_t { kBase, kVae, kIn, kMid, kOut };
  Part part = Part::kBase;
  std::uint32_t index = 0;
};

/// How many input and output blocks a UNet has: 12 in SD 1 and 2, 9 in SDXL.
class BlockMap {
 public:
  /// From the names of a checkpoint's tensors.
  explicit BlockMap(const std::vector<std::string>& names);
  std::uint32_t side_count() const { return sides_; }
  /// time_embed and label_emb stand before the first input block, `out` after the last output
  /// block, and count with them.
  BlockPlace place(std::string_view name) const;

 private:
  std::uint32_t sides_ = 0;
};

class BlockWeights {
 public:
  /// `text` is
  ///   - a list of numbers, BASE IN00 … M00 OUT00 … (26 for SD 1 and 2, 20 for SDXL), or without
  ///     BASE (25, 19);
  ///   - or NAME=NUMBER, separated by commas, later ones over earlier: BASE, VAE, IN, M00, OUT,
  ///     IN03, IN00-IN05; PRESET alone or among them is a curve over all blocks of the UNet.
  /// What is not named has `otherwise`; VAE has BASE's.
  /// Errors: kInvalidArgument that says which part of the text does not fit, and what does.
  static Result<BlockWeights> parse(std::string_view text, double otherwise, const BlockMap& map);

  double at(const BlockPlace& place) const;
  /// BASE, VAE, IN00 …, M00, OUT00 …
  std::vector<double> values() const;

 private:
  friend class BlockWeightsParser;
  double base_ = 0, vae_ = 0;
  std::vector<double> unet_;  // IN00 …, M00, OUT00 …
  std::uint32_t sides_ = 0;
};

/// The names of the presets, for messages.
std::string block_preset_names();

}  // namespace kilter::ops
