#include "ops/slim/scaled_input.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <cmath>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/try.h"
#include "ops/slim/linear_names.h"
#include "tensor/kernels/float_values.h"

namespace kilter::ops {
namespace {

// Sources: DeepSeek-V3's release and transformers (weight_scale_inv), compressed-tensors
// (weight_scale), ComfyUI (scale_weight, scaled_fp8).
constexpr std::array<std::string_view, 3> kScaleSuffixes = {".weight_scale_inv", ".weight_scale",
                                                            ".scale_weight"};
constexpr std::array<std::string_view, 3> kActivationSuffixes = {".input_scale", ".scale_input",
                                                                 ".activation_scale"};
constexpr std::array<std::string_view, 3> kPackedSuffixes = {".weight_packed", ".qweight",
                                                             ".weight_zero_point"};
constexpr std::string_view kComfyMarker = "scaled_fp8";

bool is_f8(DType dtype) { return dtype == DType::kF8E4M3FN || dtype == DType::kF8E5M2; }

/// config.json's weight_block_size; 128 by 128 where none is stated.
std::pair<std::uint64_t, std::uint64_t> stated_blocks(const CheckpointData& data) {
  for (const Document& document : data.documents) {
    if (document.path != "config.json") continue;
    const auto config = parse_json(document.text);
    if (!config || !config->is_object()) continue;
    const Json quantization = config->value("quantization_config", Json());
    const Json size =
        quantization.is_object() ? quantization.value("weight_block_size", Json()) : Json();
    const bool fits = size.is_array() && size.size() == 2 && size[0].is_number_unsigned() &&
                      size[1].is_number_unsigned();
    if (!fits) continue;
    const auto rows = size[0].get<std::uint64_t>(), columns = size[1].get<std::uint64_t>();
    if (rows > 0 && columns > 0) return {rows, columns};
  }
  return {128, 128};
}

class ScaledFinder {
 public:
  explicit ScaledFinder(const WeightsInput& input)
      : input_(input), blocks_(stated_blocks(input.checkpoint.data())) {}

  Result<ScaledInput> run() {
    for (std::size_t i = 0; i < input_.names.size(); ++i) KILTER_TRY(look_at(i));
    if (out_.scales.empty()) return ScaledInput{};
    for (std::size_t i = 0; i < input_.names.size(); ++i) note_companions(i);
    return std::move(out_);
  }

 private:
  Status look_at(std::size_t scale) {
    const std::string& name = input_.names[scale];
    for (const std::string_view suffix : kScaleSuffixes) {
      if (!name.ends_with(suffix)) continue;
      const std::string module = name.substr(0, name.size() - suffix.size());
      for (const std::string_view packed : kPackedSuffixes)
        if (const auto other = input_.find(module + std::string(packed)))
          return fail(unknown(*other, "are quantized in a way that is not read"));
      const auto weight = input_.find(module + ".weight");
      if (!weight) return ok();  // some other tensor of that name
      if (!is_f8(input_.info(*weight).dtype))
        return fail(unknown(*weight, "have scales and are no f8"));
      return add(*weight, scale);
    }
    return ok();
  }

  Status add(std::size_t weight, std::size_t scale) {
    const TensorInfo& info = input_.info(weight);
    if (info.shape.size() != 2) return fail(unknown(weight, "have scales and are no matrix"));
    ScaleGrid grid;
    grid.rows = static_cast<std::uint64_t>(info.shape[0]);
    grid.columns = static_cast<std::uint64_t>(info.shape[1]);
    if (!lay_out(input_.info(scale), grid))
      return fail(
          unknown(weight, "have scales of a shape that does not fit")
              .wanted(fmt::format("one, one for each row, or blocks of {} x {}", blocks_.first,
                                  blocks_.second),
                      fmt::format("[{}] for [{}]", fmt::join(input_.info(scale).shape, ", "),
                                  fmt::join(info.shape, ", "))));
    KILTER_TRY(read_values(scale, grid));
    const bool fresh =
        out_.scales.emplace(weight, std::make_shared<const ScaleGrid>(std::move(grid))).second;
    if (!fresh) return fail(unknown(weight, "have scales of two kinds"));
    out_.consumed.emplace(scale, "multiplied into " + input_.names[weight]);
    return ok();
  }

  /// False if scales of that shape are none of this matrix.
  bool lay_out(const TensorInfo& scale, ScaleGrid& grid) const {
    const std::uint64_t count = scale.element_count();
    grid.block_rows = std::max<std::uint64_t>(grid.rows, 1);
    grid.block_columns = std::max<std::uint64_t>(grid.columns, 1);
    if (count == 1) return true;
    const auto rows = static_cast<std::int64_t>(grid.rows);
    if (scale.shape == std::vector<std::int64_t>{rows} ||
        scale.shape == std::vector<std::int64_t>{rows, 1}) {
      grid.block_rows = 1;
      return true;
    }
    std::tie(grid.block_rows, grid.block_columns) = blocks_;
    return scale.shape == std::vector<std::int64_t>{static_cast<std::int64_t>(grid.count_down()),
                                                    static_cast<std::int64_t>(grid.count_across())};
  }

  Status read_values(std::size_t scale, ScaleGrid& grid) const {
    const TensorInfo& info = input_.info(scale);
    const auto count = static_cast<std::size_t>(info.element_count());
    const bool powers = info.dtype == DType::kF8E8M0FNU;
    if (!powers && (!has_float_values(info.dtype) || info.dtype == DType::kF64))
      return fail(unknown(scale, "are scales of a dtype that is not read")
                      .wanted("f32, bf16, f16 or f8_e8m0fnu", std::string(dtype_name(info.dtype))));
    std::vector<std::byte> bytes(static_cast<std::size_t>(info.bytes()));
    KILTER_TRY(input_.checkpoint.read_tensor(scale, 0, bytes));
    std::vector<double> values(count);
    if (powers)
      for (std::size_t i = 0; i < count; ++i)
        values[i] = bytes[i] == std::byte{255}
                        ? std::nan("")
                        : std::ldexp(1.0, std::to_integer<int>(bytes[i]) - 127);
    else
      widen_floats(info.dtype, bytes.data(), count, values.data());
    if (count_range(DType::kF64, values).not_finite > 0)
      return fail(Error(ErrorCode::kMalformed, "scales are NaN or infinite")
                      .at_path(input_.address)
                      .at_tensor(input_.names[scale]));
    grid.values.assign(values.begin(), values.end());
    return ok();
  }

  /// Scales of activations, and ComfyUI's marker, mean nothing once weights are multiplied out.
  void note_companions(std::size_t tensor) {
    const std::string& name = input_.names[tensor];
    for (const std::string_view suffix : kActivationSuffixes) {
      if (!name.ends_with(suffix)) continue;
      const auto weight = input_.find(name.substr(0, name.size() - suffix.size()) + ".weight");
      if (weight && out_.scales.contains(*weight))
        out_.consumed.emplace(tensor, "a scale of activations of f8");
    }
    const bool marker = name == kComfyMarker || name.ends_with("." + std::string(kComfyMarker));
    if (marker && input_.info(tensor).element_count() <= 2)
      out_.consumed.emplace(tensor, "marks scaled f8");
  }

  Error unknown(std::size_t tensor, const std::string& what) const {
    Error error(ErrorCode::kUnsupported, "weights " + what);
    error.path = input_.address;
    error.tensor = input_.names[tensor];
    return error;
  }

  const WeightsInput& input_;
  const std::pair<std::uint64_t, std::uint64_t> blocks_;
  ScaledInput out_;
};

}  // namespace

Result<ScaledInput> find_scaled_weights(const WeightsInput& input) {
  return ScaledFinder(input).run();
}

Status refuse_scaled_weights(const WeightsInput& input, const std::string& verb) {
  KILTER_ASSIGN(const ScaledInput scaled, find_scaled_weights(input));
  if (scaled.scales.empty()) return ok();
  Error error(ErrorCode::kUnsupported, verb + " does not take scaled f8 weights");
  error.path = input.address;
  error.tensor = input.names[scaled.scales.begin()->first];
  error.hint = "multiply the scales in first: kilter cast SRC DST --dtype bf16";
  return fail(std::move(error));
}

}  // namespace kilter::ops
