// Float tensors in another dtype, rounded once.
#include <algorithm>
#include <memory>
#include <vector>

#include "kilter/weights.h"

#include "base/text.h"
#include "base/try.h"
#include "flow/engine.h"
#include "flow/memory_source.h"
#include "ops/slim/find_scales.h"
#include "ops/slim/linear_names.h"
#include "ops/slim/scale_layouts.h"
#include "ops/slim/scaled_input.h"
#include "ops/weights/blend_kernel.h"
#include "ops/weights/recipe_verbs.h"
#include "ops/weights/weights_output.h"

namespace kilter {
namespace ops {
namespace {

class Cast {
 public:
  Cast(std::vector<WeightsInput> inputs, const CastOptions& options)
      : inputs_(std::move(inputs)), options_(options) {}

  Result<WeightsReport> run(const std::string& target) {
    KILTER_TRY(plan());
    KILTER_TRY(add_scales());
    report_.verb = "cast";
    report_.sources = {input().address};
    WeightsJob job;
    job.base = &input();
    job.plan = std::move(plan_);
    job.quantization = quantization();
    if (!scales_wanted()) job.config_dtype = options_.dtype;
    KILTER_ASSIGN(job.recipe, make_recipe());
    WeightsOptions how = options_;
    KILTER_TRY(leave_room_for_scales(how));
    KILTER_TRY(write_weights(std::move(job), target, how, report_));
    if (!options_.dry_run) sum_up();
    return std::move(report_);
  }

 private:
  const WeightsInput& input() const { return inputs_.front(); }

  bool scales_wanted() const { return options_.scales.layout != ScaleLayout::kNone; }

  Status plan() {
    plan_.verb = "cast";
    KILTER_ASSIGN(held_, find_scaled_weights(input()));
    if (options_.scales.layout == ScaleLayout::kComfyui) prefix_ = comfyui_prefix(input().names);
    used_.assign(options_.keep.size(), false);
    for (std::size_t i = 0; i < input().names.size(); ++i) KILTER_TRY(add(i));
    for (std::size_t k = 0; k < used_.size(); ++k)
      if (!used_[k])
        return fail(Error(ErrorCode::kInvalidArgument,
                          "--keep " + options_.keep[k].first + " fits no tensor")
                        .advise("see `kilter inspect --tensors`"));
    for (const WeightsReport::Tensor& row : report_.tensors)
      plan_.accounts.push_back(
          {row.name, row.fate == "dropped" ? Fate::kDropped : Fate::kUsed, row.name, row.reason});
    return ok();
  }

  DType wanted(const TensorInfo& info, const std::string& name, std::string& reason) {
    if (!has_float_values(info.dtype)) {
      reason = "not a float that is cast";
      return info.dtype;
    }
    for (std::size_t k = 0; k < options_.keep.size(); ++k) {
      if (!glob_match(options_.keep[k].first, name)) continue;
      used_[k] = true;
      reason = "--keep " + options_.keep[k].first;
      return options_.keep[k].second;
    }
    if (scales_wanted()) reason = why_without_scales(info, name);
    if (reason.empty()) return options_.dtype;
    // Scaled f8 that gets no new scales must not lose those it has.
    return held_.scales.contains(number_of(info)) ? DType::kBF16 : info.dtype;
  }

  std::size_t number_of(const TensorInfo& info) const {
    return static_cast<std::size_t>(&info - input().checkpoint.tensors().data());
  }

  /// Empty where the tensor gets scales.
  std::string why_without_scales(const TensorInfo& info, const std::string& name) const {
    if (const std::string_view what = why_not_linear(name, info.shape); !what.empty())
      return std::string(what);
    if (!name.starts_with(prefix_)) return "not in the diffusion model";
    if (info.element_count() == 0) return "it is empty";
    return why_not_in_blocks(options_.scales, static_cast<std::uint64_t>(info.shape[0]),
                             static_cast<std::uint64_t>(info.shape[1]));
  }

  Status add(std::size_t tensor) {
    const TensorInfo& info = input().info(tensor);
    WeightsReport::Tensor row;
    row.name = input().names[tensor];
    row.from = row.to = info.dtype;
    auto error = std::make_unique<RoundingError>();
    if (row.name.empty()) {
      row.name = info.name;
      row.fate = "dropped";
      row.reason = "it is not a weight";
    } else if (const auto consumed = held_.consumed.find(tensor);
               consumed != held_.consumed.end()) {
      row.fate = "dropped";
      row.reason = consumed->second;
    } else {
      row.to = wanted(info, row.name, row.reason);
      const bool computed = row.to != row.from || held_.scales.contains(tensor);
      row.fate = computed ? "cast" : "copied";
      row.bytes = computed ? info.element_count() * dtype_row(row.to).bits / 8 : info.bytes();
      KILTER_TRY(add_output(tensor, info, row, *error));
    }
    report_.tensors.push_back(std::move(row));
    errors_.push_back(std::move(error));
    return ok();
  }

  Status add_output(std::size_t tensor, const TensorInfo& info, const WeightsReport::Tensor& row,
                    RoundingError& error) {
    PlanOutput output;
    output.name = row.name;
    output.dtype = row.to;
    output.shape = info.shape;
    output.bytes = row.bytes;
    output.inputs = {{input().checkpoint.source(), InputKind::kTensor, tensor, 0}};
    if (row.fate == "cast") {
      const auto held = held_.scales.find(tensor);
      BlendRules rules;
      rules.tensor = row.name;
      rules.to = row.to;
      rules.terms = {
          {row.from, 1.0, input().address, held == held_.scales.end() ? nullptr : held->second}};
      rules.allow_too_large = options_.allow.contains(Allow::kOverflow);
      rules.allow_not_finite = true;  // they stay what they are
      rules.error = &error;
      if (scales_wanted() && row.to == options_.dtype) {
        KILTER_ASSIGN(rules.scales, want_scales(tensor, row, rules.terms.front().scales));
      }
      output.kernel = std::make_shared<BlendKernel>(std::move(rules));
    }
    const bool scaled = !searches_.empty() && searches_.back().tensor == tensor;
    if (scales_wanted() && !scaled && is_matrix_weight(row.name, info.shape))
      kept_modules_.push_back(module_of_weight(row.name));
    plan_.outputs.push_back(std::move(output));
    return ok();
  }

  /// The scales' place; their values come with add_scales().
  Result<SharedScales> want_scales(std::size_t tensor, const WeightsReport::Tensor& row,
                                   const SharedScales& held) {
    const TensorInfo& info = input().info(tensor);
    if (!is_matrix_weight(row.name, info.shape) || info.element_count() == 0)
      return fail(Error(ErrorCode::kInvalidArgument, "only matrices called X.weight get scales")
                      .at_tensor(row.name)
                      .advise("keep it in another dtype: --keep 'NAME=bf16'"));
    auto grid = std::make_shared<ScaleGrid>();
    grid->rows = static_cast<std::uint64_t>(info.shape[0]);
    grid->columns = static_cast<std::uint64_t>(info.shape[1]);
    const bool in_blocks = options_.scales.layout == ScaleLayout::kDeepseek;
    grid->block_rows =
        in_blocks ? static_cast<std::uint64_t>(options_.scales.block_rows) : grid->rows;
    grid->block_columns =
        in_blocks ? static_cast<std::uint64_t>(options_.scales.block_columns) : grid->columns;
    scale_bytes_ += 4 * grid->count_down() * grid->count_across();
    searches_.push_back({tensor, row.name, row.from, row.to, held, grid});
    return SharedScales(grid);
  }

  /// Finds the scales' values and adds them to the outputs.
  Status add_scales() {
    if (!scales_wanted()) return ok();
    if (searches_.empty())
      return fail(Error(ErrorCode::kInvalidArgument, "no tensor would get scales")
                      .at_path(input().address)
                      .advise("leave --scales away, or see `kilter inspect --tensors`"));
    WeightsOptions how = options_;
    KILTER_TRY(leave_room_for_scales(how));
    if (options_.dry_run)
      for (const ScaleSearch& search : searches_)
        search.grid->values.resize(search.grid->count_down() * search.grid->count_across());
    else
      KILTER_TRY(find_scales(input(), searches_, options_.allow.contains(Allow::kNonFinite),
                             options_.thread_count, options_.context));
    TensorIndex index;
    std::vector<Bytes> storages;
    for (const ScaleSearch& search : searches_)
      add_made(scale_name_of(options_.scales.layout, search.name), DType::kF32,
               scale_shape_of(options_.scales, search.grid->rows, search.grid->columns),
               std::as_bytes(std::span(search.grid->values)), index, storages);
    // Two elements: readers multiply weights out and do not compute in f8.
    if (options_.scales.layout == ScaleLayout::kComfyui)
      add_made(prefix_ + "scaled_fp8", options_.dtype, {2}, std::as_bytes(std::span(kMarkerBytes)),
               index, storages);
    return make_outputs(std::move(index), std::move(storages));
  }

  static void add_made(std::string name, DType dtype, std::vector<std::int64_t> shape, Bytes bytes,
                       TensorIndex& index, std::vector<Bytes>& storages) {
    TensorInfo info;
    info.name = std::move(name);
    info.dtype = dtype;
    info.shape = std::move(shape);
    info.strides = contiguous_strides(info.shape);
    info.storage = static_cast<std::uint32_t>(storages.size());
    index.tensors.push_back(std::move(info));
    index.storages.emplace_back();
    storages.push_back(bytes);
  }

  Status make_outputs(TensorIndex index, std::vector<Bytes> storages) {
    KILTER_ASSIGN(const std::shared_ptr<const Source> source,
                  make_memory_source(std::move(index), std::move(storages), "scales"));
    for (std::size_t i = 0; i < source->index().tensors.size(); ++i) {
      const TensorInfo& info = source->index().tensors[i];
      if (const auto taken = input().find(info.name); taken && !held_.consumed.contains(*taken))
        return fail(Error(ErrorCode::kInvalidArgument, "a tensor has the name of a scale already")
                        .at_path(input().address)
                        .at_tensor(info.name));
      PlanOutput output;
      output.name = info.name;
      output.dtype = info.dtype;
      output.shape = info.shape;
      output.bytes = info.bytes();
      output.inputs = {{source, InputKind::kTensor, i, 0}};
      plan_.outputs.push_back(std::move(output));
      WeightsReport::Tensor row;
      row.name = info.name;
      row.fate = "added";
      row.from = row.to = info.dtype;
      row.bytes = info.bytes();
      report_.tensors.push_back(std::move(row));
    }
    return ok();
  }

  /// Scales lie in memory from the first pass to the last byte.
  Status leave_room_for_scales(WeightsOptions& how) const {
    std::uint64_t bytes = scale_bytes_;
    for (const auto& [tensor, grid] : held_.scales) bytes += 4 * grid->values.size();
    if (bytes > how.max_memory_bytes / 2)
      return fail(Error(ErrorCode::kLimitExceeded, "the scales do not fit the memory")
                      .wanted(format_bytes(2 * bytes), format_bytes(how.max_memory_bytes))
                      .advise("give --max-memory, or larger blocks"));
    how.max_memory_bytes = std::max(how.max_memory_bytes - bytes,
                                    std::min(how.max_memory_bytes, kEngineMemoryBytesMin));
    return ok();
  }

  /// What config.json is to say of the weights; nothing where they were plain and still are.
  std::optional<std::string> quantization() {
    if (!scales_wanted())
      return held_.scales.empty() ? std::nullopt : std::optional<std::string>("");
    // A head that is tied to the embedding is not stored, and must not be looked for in f8.
    const bool scaled_head = std::ranges::any_of(
        searches_, [](const ScaleSearch& one) { return one.name.ends_with("lm_head.weight"); });
    if (!scaled_head && std::ranges::find(kept_modules_, "lm_head") == kept_modules_.end())
      kept_modules_.emplace_back("lm_head");
    return quantization_config_of(options_.scales, kept_modules_);
  }

  Result<std::string> make_recipe() const {
    Recipe recipe;
    recipe.verb = "cast";
    recipe.own["dtype"] = dtype_name(options_.dtype);
    if (!options_.keep.empty()) recipe.own["keep"] = dtype_rules_json(options_.keep);
    if (scales_wanted()) recipe.own["scales"] = scale_layout_name(options_.scales.layout);
    if (options_.scales.layout == ScaleLayout::kDeepseek)
      recipe.own["block"] = {options_.scales.block_rows, options_.scales.block_columns};
    recipe.allow = options_.allow;
    KILTER_ASSIGN(recipe.inputs, describe_inputs(inputs_, options_));
    return write_recipe(recipe);
  }

  void sum_up() {
    RoundingError all;
    for (std::size_t i = 0; i < errors_.size(); ++i) {  // rows of scales come behind
      WeightsReport::Tensor& row = report_.tensors[i];
      if (row.fate != "cast") continue;
      const RoundingError& error = *errors_[i];
      row.measured = true;
      row.too_large = error.too_large();
      row.rms_error = error.rms();
      row.largest_error = error.largest();
      row.cosine = error.cosine();
      all += error;
    }
    report_.rms_error = all.rms();
    report_.largest_error = all.largest();
    report_.cosine = all.cosine();
  }

  std::vector<WeightsInput> inputs_;
  const CastOptions& options_;
  Plan plan_;
  std::vector<bool> used_;  // by --keep
  ScaledInput held_;
  std::string prefix_;  // of what gets scales
  std::vector<ScaleSearch> searches_;
  std::vector<std::string> kept_modules_;
  std::uint64_t scale_bytes_ = 0;
  static constexpr std::byte kMarkerBytes[2] = {};
  std::vector<std::unique_ptr<RoundingError>> errors_;
  WeightsReport report_;
};

Status check_dtype(DType dtype) {
  if (has_float_values(dtype)) return ok();
  return fail(
      Error(ErrorCode::kInvalidArgument, "weights cannot be cast to this dtype")
          .wanted("f64, f32, bf16, f16, f8_e4m3fn or f8_e5m2", std::string(dtype_name(dtype))));
}

}  // namespace

Result<WeightsReport> follow_cast(const Recipe& recipe, const std::string& target,
                                  const WeightsOptions& how) {
  KILTER_TRY(check_own_keys(recipe, {"dtype", "keep", "scales", "block"}));
  auto options = options_for<CastOptions>(how);
  KILTER_ASSIGN(const std::optional<DType> dtype, own_dtype(recipe, "dtype"));
  options.dtype = dtype.value_or(options.dtype);
  KILTER_ASSIGN(options.keep, own_dtype_rules(recipe, "keep"));
  KILTER_ASSIGN(const std::string layout, own_text(recipe, "scales", "none"));
  const auto scales = scale_layout_from_name(layout);
  KILTER_ASSIGN(const std::vector<double> block, own_numbers(recipe, "block"));
  if (!scales || (!block.empty() && block.size() != 2))
    return fail(ErrorCode::kMalformed, "the recipe's scales or block are none");
  options.scales.layout = *scales;
  if (block.size() == 2) {
    constexpr double kSideMax = 1 << 30;
    for (const double side : block)
      if (!(side >= 1 && side <= kSideMax))
        return fail(ErrorCode::kMalformed, "the recipe's block is none");
    options.scales.block_rows = static_cast<std::int64_t>(block[0]);
    options.scales.block_columns = static_cast<std::int64_t>(block[1]);
  }
  return cast(recipe.inputs.front().address, target, options);
}

}  // namespace ops

Result<WeightsReport> cast(const std::string& source, const std::string& target,
                           const CastOptions& options) {
  KILTER_TRY(ops::check_dtype(options.dtype));
  for (const auto& [glob, dtype] : options.keep) KILTER_TRY(ops::check_dtype(dtype));
  KILTER_TRY(ops::check_scales(options.scales, options.dtype));
  KILTER_ASSIGN(ops::WeightsInput input, ops::open_weights(source, options.open));
  std::vector<ops::WeightsInput> inputs;
  inputs.push_back(std::move(input));
  return ops::Cast(std::move(inputs), options).run(target);
}

}  // namespace kilter
