#include "ops/weights/block_weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <numbers>
#include <optional>

#include "base/try.h"

namespace kilter::ops {
namespace {

constexpr std::uint32_t kSidesMax = 64;
constexpr std::string_view kUnet = "diffusion_model.";

/// The number after `prefix` and before the next dot.
std::optional<std::uint32_t> block_number(std::string_view name, std::string_view prefix) {
  if (!name.starts_with(prefix)) return std::nullopt;
  name.remove_prefix(prefix.size());
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc() || end == name.data() + name.size() || *end != '.' ||
      number >= kSidesMax)
    return std::nullopt;
  return number;
}

/// The name inside the UNet; nullopt for what is outside.
std::optional<std::string_view> unet_name(std::string_view name) {
  if (const auto at = name.find(kUnet); at != std::string_view::npos)
    return name.substr(at + kUnet.size());
  for (const std::string_view first :
       {"input_blocks.", "middle_block.", "output_blocks.", "time_embed.", "label_emb.", "out."})
    if (name.starts_with(first)) return name;
  return std::nullopt;
}

double smooth(double x) { return x * x * (3 - 2 * x); }

/// A curve over the blocks: x from 0 (IN00) over 0.5 (M00) to 1 (the last OUT).
/// Source: the presets of the block-weighted mergers, as formulas.
struct BlockPreset {
  std::string_view name;
  double (*at)(double x);
  std::uint32_t wrapped = 0;  ///< instead: 1 for so many blocks at both ends, else 0
  std::uint32_t last = 0;     ///< instead: 1 for so many blocks at the end, else 0
};
constexpr BlockPreset kPresets[] = {
    {"ALL_A", [](double) { return 0.0; }},
    {"ALL_B", [](double) { return 1.0; }},
    {"FLAT_25", [](double) { return 0.25; }},
    {"FLAT_75", [](double) { return 0.75; }},
    {"GRAD_V", [](double x) { return std::fabs(1 - 2 * x); }},
    {"GRAD_A", [](double x) { return 1 - std::fabs(1 - 2 * x); }},
    {"SMOOTHSTEP", [](double x) { return smooth(x); }},
    {"REVERSE_SMOOTHSTEP", [](double x) { return smooth(1 - x); }},
    {"COSINE", [](double x) { return (1 + std::cos(std::numbers::pi * x)) / 2; }},
    {"REVERSE_COSINE", [](double x) { return (1 - std::cos(std::numbers::pi * x)) / 2; }},
    {"WRAP08", nullptr, 4},
    {"WRAP12", nullptr, 6},
    {"WRAP14", nullptr, 7},
    {"WRAP16", nullptr, 8},
    {"OUT07", nullptr, 0, 7},
    {"OUT12", nullptr, 0, 12},
};

double preset_value(const BlockPreset& preset, std::size_t block, std::size_t count) {
  if (preset.at != nullptr)
    return preset.at(static_cast<double>(block) / static_cast<double>(count - 1));
  if (preset.last > 0) return block + preset.last >= count ? 1 : 0;
  return block < preset.wrapped || block + preset.wrapped >= count ? 1 : 0;
}

std::vector<std::string_view> split_commas(std::string_view text) {
  std::vector<std::string_view> out;
  while (true) {
    const auto comma = text.find(',');
    std::string_view part = text.substr(0, comma);
    while (part.starts_with(' ')) part.remove_prefix(1);
    while (part.ends_with(' ')) part.remove_suffix(1);
    out.push_back(part);
    if (comma == std::string_view::npos) return out;
    text.remove_prefix(comma + 1);
  }
}

std::optional<double> block_ratio(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size() ||
      !std::isfinite(value))
    return std::nullopt;
  return value;
}

Error block_error(std::string message) {
  return Error(ErrorCode::kInvalidArgument, "the block weights " + std::move(message))
      .advise(
          "26 numbers (SD 1, 2) or 20 (SDXL), or names: BASE=0.2,IN00-IN05=0.5,M00=1,OUT=0.3, or a "
          "preset: " +
          block_preset_names());
}

}  // namespace

BlockMap::BlockMap(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const auto inner = unet_name(name);
    if (!inner) continue;
    for (const std::string_view prefix : {"input_blocks.", "output_blocks."})
      if (const auto number = block_number(*inner, prefix)) sides_ = std::max(sides_, *number + 1);
  }
}

BlockPlace BlockMap::place(std::string_view name) const {
  using Part = BlockPlace::Part;
  if (name.starts_with("first_stage_model.")) return {Part::kVae, 0};
  const auto inner = unet_name(name);
  if (!inner) return {};
  if (const auto number = block_number(*inner, "input_blocks.")) return {Part::kIn, *number};
  if (const auto number = block_number(*inner, "output_blocks.")) return {Part::kOut, *number};
  if (inner->starts_with("middle_block.")) return {Part::kMid, 0};
  if (inner->starts_with("out.")) return {Part::kOut, std::max(sides_, 1U) - 1};
  if (inner->starts_with("time_embed.") || inner->starts_with("label_emb.")) return {Part::kIn, 0};
  return {};
}

/// Reads the text part by part.
class BlockWeightsParser {
 public:
  BlockWeightsParser(double otherwise, const BlockMap& map) {
    out_.sides_ = map.side_count();
    out_.base_ = otherwise;
    out_.unet_.assign(2 * out_.sides_ + 1, otherwise);
  }

  Result<BlockWeights> run(std::string_view text) {
    const std::vector<std::string_view> parts = split_commas(text);
    if (parts.size() > 1 && block_ratio(parts[0])) {
      KILTER_TRY(take_list(parts));
    } else {
      for (const std::string_view part : parts) KILTER_TRY(take_one(part));
    }
    out_.vae_ = vae_.value_or(out_.base_);
    return std::move(out_);
  }

 private:
  Status take_list(const std::vector<std::string_view>& parts) {
    const std::size_t wanted = out_.unet_.size() + 1;
    if (parts.size() != wanted && parts.size() + 1 != wanted)
      return fail(block_error(
          fmt::format("are {} numbers; this UNet has {} blocks: {} numbers with BASE, {} without",
                      parts.size(), out_.unet_.size(), wanted, wanted - 1)));
    std::vector<double> values;
    for (const std::string_view part : parts) {
      const auto value = block_ratio(part);
      if (!value) return fail(block_error(fmt::format("hold '{}', which is no number", part)));
      values.push_back(*value);
    }
    if (values.size() == wanted) out_.base_ = values.front();
    std::copy(values.end() - static_cast<std::ptrdiff_t>(out_.unet_.size()), values.end(),
              out_.unet_.begin());
    return ok();
  }

  Status take_one(std::string_view part) {
    const auto equals = part.find('=');
    if (equals == std::string_view::npos) return take_preset(part);
    const auto value = block_ratio(part.substr(equals + 1));
    if (!value) return fail(block_error(fmt::format("hold '{}': no number after =", part)));
    return take_named(part.substr(0, equals), *value);
  }

  Status take_preset(std::string_view name) {
    const auto* const preset = std::ranges::find(kPresets, name, &BlockPreset::name);
    if (preset == std::end(kPresets))
      return fail(block_error(fmt::format("hold '{}', which is no preset and no NAME=M", name)));
    for (std::size_t i = 0; i < out_.unet_.size(); ++i)
      out_.unet_[i] = preset_value(*preset, i, out_.unet_.size());
    return ok();
  }

  Status take_named(std::string_view name, double value) {
    const std::size_t sides = out_.sides_;
    if (name == "BASE") {
      out_.base_ = value;
    } else if (name == "VAE") {
      vae_ = value;
    } else if (name == "IN") {
      fill(0, sides - 1, value);
    } else if (name == "OUT") {
      fill(sides + 1, 2 * sides, value);
    } else {
      const auto dash = name.find('-');
      const auto first = slot(name.substr(0, dash));
      const auto last = dash == std::string_view::npos ? first : slot(name.substr(dash + 1));
      if (!first || !last || *first > *last)
        return fail(block_error(fmt::format("name '{}', which this UNet does not have", name)));
      fill(*first, *last, value);
    }
    return ok();
  }

  void fill(std::size_t first, std::size_t last, double value) {
    for (std::size_t i = first; i <= last; ++i) out_.unet_[i] = value;
  }

  /// IN03, M00, OUT11: which of the UNet's blocks, in order.
  std::optional<std::size_t> slot(std::string_view name) const {
    const std::size_t sides = out_.sides_;
    if (name == "M00" || name == "MID" || name == "M") return sides;
    const bool in = name.starts_with("IN");
    if (!in && !name.starts_with("OUT")) return std::nullopt;
    name.remove_prefix(in ? 2 : 3);
    std::size_t number = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (name.empty() || error != std::errc() || end != name.data() + name.size() || number >= sides)
      return std::nullopt;
    return in ? number : sides + 1 + number;
  }

  BlockWeights out_;
  std::optional<double> vae_;
};

Result<BlockWeights> BlockWeights::parse(std::string_view text, double otherwise,
                                         const BlockMap& map) {
  if (map.side_count() == 0)
    return fail(
        Error(ErrorCode::kInvalidArgument,
              "there is no UNet with input_blocks and output_blocks for block weights")
            .advise("block weights are for single-file checkpoints of SD 1, SD 2 and SDXL"));
  return BlockWeightsParser(otherwise, map).run(text);
}

double BlockWeights::at(const BlockPlace& place) const {
  switch (place.part) {
    case BlockPlace::Part::kBase:
      return base_;
    case BlockPlace::Part::kVae:
      return vae_;
    case BlockPlace::Part::kIn:
      return unet_[std::min(place.index, sides_ - 1)];
    case BlockPlace::Part::kMid:
      return unet_[sides_];
    case BlockPlace::Part::kOut:
      return unet_[sides_ + 1 + std::min(place.index, sides_ - 1)];
  }
  return base_;
}

std::vector<double> BlockWeights::values() const {
  std::vector<double> out = {base_, vae_};
  out.insert(out.end(), unet_.begin(), unet_.end());
  return out;
}

std::string block_preset_names() {
  std::string out;
  for (const BlockPreset& preset : kPresets)
    out += (out.empty() ? "" : ", ") + std::string(preset.name);
  return out;
}

}  // namespace kilter::ops
