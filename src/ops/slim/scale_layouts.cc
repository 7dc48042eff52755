#include "ops/slim/scale_layouts.h"

#include <fmt/format.h>

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/json.h"

namespace kilter {
namespace {

struct ScaleLayoutRow {
  ScaleLayout layout;
  std::string_view name;
  std::string_view suffix;  ///< of the scale's name, behind the module's
  bool takes_e5m2;
};
constexpr ScaleLayoutRow kScaleLayouts[] = {
    {ScaleLayout::kNone, "none", "", true},
    {ScaleLayout::kDeepseek, "deepseek", "weight_scale_inv", false},
    {ScaleLayout::kCompressedTensors, "compressed-tensors", "weight_scale", false},
    {ScaleLayout::kComfyui, "comfyui", "scale_weight", true},
};

const ScaleLayoutRow& scale_layout_row(ScaleLayout layout) {
  return *std::ranges::find(kScaleLayouts, layout, &ScaleLayoutRow::layout);
}

}  // namespace

std::string_view scale_layout_name(ScaleLayout layout) { return scale_layout_row(layout).name; }

std::optional<ScaleLayout> scale_layout_from_name(std::string_view name) {
  const auto* const row = std::ranges::find(kScaleLayouts, name, &ScaleLayoutRow::name);
  return row == std::end(kScaleLayouts) ? std::nullopt : std::optional(row->layout);
}

namespace ops {

Status check_scales(const WeightScales& scales, DType dtype) {
  if (scales.layout == ScaleLayout::kNone) return ok();
  const ScaleLayoutRow& row = scale_layout_row(scales.layout);
  const bool fits = dtype == DType::kF8E4M3FN || (dtype == DType::kF8E5M2 && row.takes_e5m2);
  if (!fits)
    return fail(Error(ErrorCode::kInvalidArgument,
                      fmt::format("scales as {} has them do not go with this dtype", row.name))
                    .wanted(row.takes_e5m2 ? "f8_e4m3 or f8_e5m2" : "f8_e4m3",
                            std::string(dtype_name(dtype))));
  if (scales.block_rows < 1 || scales.block_columns < 1)
    return fail(ErrorCode::kInvalidArgument, "blocks of scales need rows and columns");
  return ok();
}

std::string why_not_in_blocks(const WeightScales& scales, std::uint64_t rows,
                              std::uint64_t columns) {
  if (scales.layout != ScaleLayout::kDeepseek) return "";
  const auto fits = [](std::uint64_t side, std::int64_t block) {
    return side <= static_cast<std::uint64_t>(block) ||
           side % static_cast<std::uint64_t>(block) == 0;
  };
  if (fits(rows, scales.block_rows) && fits(columns, scales.block_columns)) return "";
  return fmt::format("{} x {} is not whole blocks of {} x {}", rows, columns, scales.block_rows,
                     scales.block_columns);
}

std::string scale_name_of(ScaleLayout layout, const std::string& weight) {
  constexpr std::string_view kWeight = "weight";
  return weight.substr(0, weight.size() - kWeight.size()) +
         std::string(scale_layout_row(layout).suffix);
}

std::vector<std::int64_t> scale_shape_of(const WeightScales& scales, std::uint64_t rows,
                                         std::uint64_t columns) {
  if (scales.layout == ScaleLayout::kComfyui) return {};
  if (scales.layout == ScaleLayout::kCompressedTensors) return {1};
  const auto count = [](std::uint64_t side, std::int64_t block) {
    return (static_cast<std::int64_t>(side) + block - 1) / block;
  };
  return {count(rows, scales.block_rows), count(columns, scales.block_columns)};
}

std::string comfyui_prefix(const std::vector<std::string>& names) {
  constexpr std::string_view kModel = "model.diffusion_model.";
  const bool full =
      std::ranges::any_of(names, [&](const auto& name) { return name.starts_with(kModel); });
  return full ? std::string(kModel) : "";
}

std::string quantization_config_of(const WeightScales& scales,
                                   const std::vector<std::string>& kept) {
  if (scales.layout == ScaleLayout::kDeepseek)
    return dump_json({{"activation_scheme", "dynamic"},
                      {"fmt", "e4m3"},
                      {"modules_to_not_convert", kept},
                      {"quant_method", "fp8"},
                      {"weight_block_size", {scales.block_rows, scales.block_columns}}});
  if (scales.layout != ScaleLayout::kCompressedTensors) return "";
  const Json weights = {{"dynamic", false},     {"num_bits", 8},     {"observer", "minmax"},
                        {"strategy", "tensor"}, {"symmetric", true}, {"type", "float"}};
  const Json group = {{"input_activations", nullptr},
                      {"output_activations", nullptr},
                      {"targets", {"Linear"}},
                      {"weights", weights}};
  return dump_json({{"config_groups", {{"group_0", group}}},
                    {"format", "naive-quantized"},
                    {"ignore", kept},
                    {"kv_cache_scheme", nullptr},
                    {"quant_method", "compressed-tensors"},
                    {"quantization_status", "compressed"}});
}

}  // namespace ops
}  // namespace kilter
