// Weights set to zero.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <vector>

#include <nlohmann/json.hpp>

#include "kilter/slim.h"

#include "base/json.h"
#include "base/text.h"
#include "base/try.h"
#include "ops/slim/head_outputs.h"
#include "ops/slim/linear_names.h"
#include "ops/slim/prune_rule.h"
#include "ops/slim/prune_search.h"
#include "ops/slim/scaled_input.h"
#include "ops/weights/recipe_verbs.h"
#include "ops/weights/weights_output.h"

namespace kilter {
namespace ops {
namespace {

struct PruneWayRow {
  PruneWay way;
  std::string_view name;  ///< of "structured" in recipes
};
constexpr PruneWayRow kStructured[] = {
    {PruneWay::kRows, "rows"}, {PruneWay::kColumns, "columns"}, {PruneWay::kHeads, "heads"}};

bool is_structured(PruneWay way) {
  return std::ranges::find(kStructured, way, &PruneWayRow::way) != std::end(kStructured);
}

Error prune_usage(std::string message) {
  return Error(ErrorCode::kInvalidArgument, std::move(message));
}

Status check_prune(const PruneOptions& options) {
  const auto is_share = [](double share) { return share >= 0 && share <= 1; };
  if (options.way == PruneWay::kMagnitude && !is_share(options.sparsity))
    return fail(prune_usage("the sparsity is a share of the elements")
                    .wanted("0 to 1", fmt::format("{:g}", options.sparsity)));
  if (is_structured(options.way) && !is_share(options.fraction))
    return fail(prune_usage("the fraction is a share")
                    .wanted("0 to 1", fmt::format("{:g}", options.fraction)));
  constexpr std::uint32_t kGroupMax = 1024;
  if (options.way == PruneWay::kPattern &&
      (options.pattern_group < 1 || options.pattern_group > kGroupMax ||
       options.pattern_keep > options.pattern_group))
    return fail(prune_usage("the pattern keeps N of M neighbours")
                    .wanted("N:M with N up to M, M up to 1024",
                            fmt::format("{}:{}", options.pattern_keep, options.pattern_group)));
  return ok();
}

/// num_attention_heads and its older names, of config.json; 0 where it states none.
std::uint32_t stated_heads(const CheckpointData& data) {
  for (const Document& document : data.documents) {
    if (document.path != "config.json") continue;
    const auto config = parse_json(document.text);
    if (!config || !config->is_object()) continue;
    for (const char* key : {"num_attention_heads", "n_head", "num_heads", "n_heads"}) {
      const Json value = config->value(key, Json());
      if (value.is_number_unsigned() && value.get<std::uint64_t>() < 65536)
        return value.get<std::uint32_t>();
    }
  }
  return 0;
}

class Prune {
 public:
  Prune(std::vector<WeightsInput> inputs, const PruneOptions& options)
      : inputs_(std::move(inputs)), options_(options) {}

  Result<WeightsReport> run(const std::string& target) {
    KILTER_TRY(choose());
    KILTER_TRY(find_rules());
    report_.verb = "prune";
    report_.sources = {input().address};
    WeightsJob job{&input(), make_plan(false), "", std::nullopt};
    KILTER_ASSIGN(job.recipe, make_recipe());
    std::optional<WeightsJob> masks;
    if (!options_.mask_target.empty()) masks = WeightsJob{&input(), make_plan(true), "", {}};
    if (masks) KILTER_TRY(write_masks(*masks, true));
    KILTER_TRY(write_weights(std::move(job), target, options_, report_));
    if (options_.dry_run) return std::move(report_);
    if (masks) KILTER_TRY(write_masks(*masks, false));
    sum_up();
    return std::move(report_);
  }

 private:
  const WeightsInput& input() const { return inputs_.front(); }

  /// Which tensors are pruned, and why the others are not.
  Status choose() {
    KILTER_TRY(refuse_scaled_weights(input(), "prune"));
    heads_ =
        options_.head_count != 0 ? options_.head_count : stated_heads(input().checkpoint.data());
    if (options_.way == PruneWay::kHeads && heads_ == 0)
      return fail(prune_usage("how many heads there are is not stated")
                      .at_path(input().address)
                      .advise("give --heads N"));
    only_used_.assign(options_.only.size(), false);
    exclude_used_.assign(options_.exclude.size(), false);
    for (std::size_t i = 0; i < input().names.size(); ++i) KILTER_TRY(choose_one(i));
    KILTER_TRY(check_used(options_.only, only_used_, "--only"));
    KILTER_TRY(check_used(options_.exclude, exclude_used_, "--exclude"));
    if (tensors_.empty())
      return fail(
          prune_usage("no tensor is left to prune")
              .at_path(input().address)
              .advise("weights of linear layers are pruned unless --only names others; see `kilter "
                      "inspect --tensors`"));
    return ok();
  }

  static Status check_used(const std::vector<std::string>& globs, const std::vector<bool>& used,
                           std::string_view option) {
    for (std::size_t g = 0; g < globs.size(); ++g)
      if (!used[g])
        return fail(prune_usage(fmt::format("{} {} fits no tensor", option, globs[g]))
                        .advise("see `kilter inspect --tensors`"));
    return ok();
  }

  Status choose_one(std::size_t tensor) {
    const TensorInfo& info = input().info(tensor);
    WeightsReport::Tensor row;
    row.name = input().names[tensor];
    row.from = row.to = info.dtype;
    row.bytes = info.bytes();
    row.fate = "copied";
    if (row.name.empty()) {
      row.name = info.name;
      row.fate = "dropped";
      row.reason = "it is not a weight";
      row.bytes = 0;
    } else {
      row.reason = why_not(tensor, row.name, info);
      if (row.reason.empty()) {
        KILTER_TRY(check_mask(row.name, info));
        row.fate = "pruned";
        tensors_.push_back({tensor, row.name, info.dtype, info.element_count()});
        slices_.push_back(slices_of(row.name, info));
      }
    }
    report_.tensors.push_back(std::move(row));
    return ok();
  }

  static bool matches(const std::vector<std::string>& globs, std::vector<bool>& used,
                      const std::string& name) {
    bool any = false;
    for (std::size_t g = 0; g < globs.size(); ++g) {
      if (!glob_match(globs[g], name)) continue;
      used[g] = any = true;
    }
    return any;
  }

  std::string why_not(std::size_t tensor, const std::string& name, const TensorInfo& info) {
    const bool wanted = matches(options_.only, only_used_, name);
    if (matches(options_.exclude, exclude_used_, name)) return "--exclude";
    if (!options_.only.empty()) {
      if (!wanted) return "--only: no pattern matches";
    } else if (options_.way == PruneWay::kMask) {
      if (!mask().find(name)) return "it has no mask";
    } else if (const std::string_view what = why_not_linear(name, info.shape); !what.empty()) {
      return std::string(what);
    }
    if (!has_float_values(info.dtype)) return "not a float that is pruned";
    if (input().info(tensor).element_count() == 0) return "it is empty";
    return why_not_cut(name, info);
  }

  std::string why_not_cut(const std::string& name, const TensorInfo& info) const {
    if (options_.way == PruneWay::kPattern &&
        (info.shape.empty() || info.shape.back() % options_.pattern_group != 0))
      return fmt::format("its rows are no multiples of {}", options_.pattern_group);
    if (options_.way == PruneWay::kRows && info.shape.empty()) return "it has no rows";
    if (options_.way == PruneWay::kColumns && info.shape.size() < 2) return "it has no columns";
    if (options_.way == PruneWay::kHeads) {
      const HeadOutputRow* const row = head_row(name);
      if (row == nullptr || info.shape.size() != 2) return "not where heads come together";
      if (info.shape[row->transposed ? 0 : 1] % heads_ != 0)
        return fmt::format("not of {} heads", heads_);
    }
    return "";
  }

  static const HeadOutputRow* head_row(const std::string& name) {
    const auto table = head_output_table();
    const auto found = std::ranges::find_if(
        table, [&](const HeadOutputRow& row) { return glob_match(row.glob, name); });
    return found == table.end() ? nullptr : &*found;
  }

  PruneSlices slices_of(const std::string& name, const TensorInfo& info) const {
    const std::uint64_t all = info.element_count();
    const auto side = [&](std::size_t i) { return static_cast<std::uint64_t>(info.shape[i]); };
    if (options_.way == PruneWay::kRows) return {all / side(0), side(0)};
    if (options_.way == PruneWay::kColumns) return {all / side(0) / side(1), side(1)};
    if (options_.way != PruneWay::kHeads) return {};
    if (head_row(name)->transposed) return {all / heads_, heads_};
    return {side(1) / heads_, heads_};
  }

  const WeightsInput& mask() const { return inputs_.back(); }

  Status check_mask(const std::string& name, const TensorInfo& info) const {
    if (options_.way != PruneWay::kMask) return ok();
    const auto found = mask().find(name);
    const TensorInfo* const its = found ? &mask().info(*found) : nullptr;
    const bool fits = its != nullptr && its->shape == info.shape &&
                      (its->dtype == DType::kBool || its->dtype == DType::kU8);
    if (fits) return ok();
    Error error = prune_usage("the mask does not fit");
    error.path = mask().address;
    error.tensor = name;
    error.expected = fmt::format("bool or u8 [{}]", fmt::join(info.shape, ", "));
    error.found = its == nullptr
                      ? "no such tensor"
                      : fmt::format("{} [{}]", dtype_name(its->dtype), fmt::join(its->shape, ", "));
    return fail(std::move(error));
  }

  Status find_rules() {
    rules_.resize(tensors_.size());
    if (options_.way == PruneWay::kPattern)
      std::ranges::fill(
          rules_, std::make_shared<PatternRule>(options_.pattern_keep, options_.pattern_group));
    if (options_.way == PruneWay::kMagnitude && options_.global) KILTER_TRY(check_one_dtype());
    if (options_.dry_run) return ok();
    if (options_.way == PruneWay::kMagnitude) {
      KILTER_ASSIGN(rules_, find_thresholds(input(), tensors_, options_.sparsity, options_.global,
                                            options_.thread_count, options_.context));
    } else if (is_structured(options_.way)) {
      KILTER_ASSIGN(rules_, find_weak_slices(input(), tensors_, slices_, options_.fraction,
                                             options_.thread_count, options_.context));
    }
    return ok();
  }

  /// Magnitudes of one threshold are compared by their bits.
  Status check_one_dtype() const {
    for (const PruneTensor& tensor : tensors_) {
      if (tensor.dtype == tensors_.front().dtype) continue;
      return fail(prune_usage("one threshold for all tensors wants all of one dtype")
                      .at_path(input().address)
                      .at_tensor(tensor.name)
                      .wanted(std::string(dtype_name(tensors_.front().dtype)),
                              std::string(dtype_name(tensor.dtype)))
                      .advise("leave it out with --exclude, or `kilter cast` first"));
    }
    return ok();
  }

  /// The weights, or the masks of those that are pruned.
  Plan make_plan(bool as_mask) {
    Plan plan;
    plan.verb = "prune";
    std::size_t next = 0;
    for (std::size_t i = 0; i < report_.tensors.size(); ++i) {
      const WeightsReport::Tensor& row = report_.tensors[i];
      const bool pruned = row.fate == "pruned";
      plan.accounts.push_back(
          {row.name, row.fate == "dropped" ? Fate::kDropped : Fate::kUsed, row.name, row.reason});
      if (pruned) ++next;
      if (row.fate == "dropped" || (as_mask && !pruned)) continue;
      const TensorInfo& info = input().info(i);
      PlanOutput output;
      output.name = row.name;
      output.dtype = as_mask ? DType::kBool : row.to;
      output.shape = info.shape;
      output.bytes = as_mask ? info.element_count() : info.bytes();
      output.inputs = {{input().checkpoint.source(), InputKind::kTensor, i, 0}};
      if (pruned) add_kernel(output, next - 1, as_mask);
      plan.outputs.push_back(std::move(output));
    }
    return plan;
  }

  void add_kernel(PlanOutput& output, std::size_t number, bool as_mask) {
    if (options_.way == PruneWay::kMask)
      output.inputs.push_back(
          {mask().checkpoint.source(), InputKind::kTensor, *mask().find(output.name), 0});
    PruneCounts* counts = nullptr;
    if (!as_mask) counts = counts_.emplace_back(std::make_unique<PruneCounts>()).get();
    output.kernel = std::make_shared<PruneKernel>(tensors_[number].dtype, output.inputs.front(),
                                                  rules_[number], as_mask, counts);
  }

  /// Masks go to a safetensors file of their own; `only_lay_out` finds what is wrong before the
  /// weights are written.
  Status write_masks(const WeightsJob& job, bool only_lay_out) {
    WeightsOptions how = options_;
    how.to = "safetensors";
    how.shard_bytes_max = 0;
    how.dry_run = only_lay_out;
    WeightsReport report;
    WeightsJob copy = job;
    copy.companions = false;
    if (Status status = write_weights(std::move(copy), options_.mask_target, how, report); !status)
      return status;
    if (only_lay_out != options_.dry_run) return ok();
    report_.written_bytes += report.written_bytes;
    for (auto& [name, bytes] : report.files) report_.files.emplace_back(report.target_path, bytes);
    return ok();
  }

  Result<std::string> make_recipe() const {
    Recipe recipe;
    recipe.verb = "prune";
    Json& own = recipe.own;
    if (options_.way == PruneWay::kMagnitude) {
      own["sparsity"] = options_.sparsity;
      if (options_.global) own["by"] = "global";
    } else if (options_.way == PruneWay::kPattern) {
      own["pattern"] = fmt::format("{}:{}", options_.pattern_keep, options_.pattern_group);
    } else if (is_structured(options_.way)) {
      own["structured"] = std::ranges::find(kStructured, options_.way, &PruneWayRow::way)->name;
      own["fraction"] = options_.fraction;
      if (options_.way == PruneWay::kHeads) own["heads"] = heads_;
    }
    if (!options_.only.empty()) own["only"] = options_.only;
    if (!options_.exclude.empty()) own["exclude"] = options_.exclude;
    recipe.allow = options_.allow;
    KILTER_ASSIGN(recipe.inputs, describe_inputs(inputs_, options_));
    return write_recipe(recipe);
  }

  void sum_up() {
    RoundingError all;
    std::size_t next = 0;
    for (WeightsReport::Tensor& row : report_.tensors) {
      if (row.fate != "pruned") continue;
      const PruneCounts& counts = *counts_[next];
      row.measured = row.counted = true;
      row.rms_error = counts.error.rms();
      row.largest_error = counts.error.largest();
      row.cosine = counts.error.cosine();
      row.elements = tensors_[next++].elements;
      row.zeros_before = counts.zeros_before;
      row.zeros_after = counts.zeros_after;
      report_.elements += row.elements;
      report_.zeros_before += row.zeros_before;
      report_.zeros_after += row.zeros_after;
      all += counts.error;
    }
    report_.rms_error = all.rms();
    report_.largest_error = all.largest();
    report_.cosine = all.cosine();
  }

  std::vector<WeightsInput> inputs_;  // the weights; with kMask the masks
  const PruneOptions& options_;
  std::uint32_t heads_ = 0;
  std::vector<bool> only_used_, exclude_used_;
  std::vector<PruneTensor> tensors_;  // those that are pruned; the rest is by their order
  std::vector<PruneSlices> slices_;
  std::vector<std::shared_ptr<const PruneRule>> rules_;
  std::vector<std::unique_ptr<PruneCounts>> counts_;
  WeightsReport report_;
};

Error bad_prune_recipe(const std::string& key) {
  return Error(ErrorCode::kMalformed, "the recipe of prune has a " + key + " that is none");
}

/// "2:4".
Status read_pattern(const std::string& text, PruneOptions& options) {
  const auto colon = text.find(':');
  const auto number = [](std::string_view digits) {
    std::uint32_t out = 0;
    for (const char digit : digits) {
      if (digit < '0' || digit > '9' || out > 9999) return std::uint32_t{0};
      out = out * 10 + static_cast<std::uint32_t>(digit - '0');
    }
    return out;
  };
  if (colon == std::string::npos) return fail(bad_prune_recipe("pattern"));
  options.pattern_keep = number(std::string_view(text).substr(0, colon));
  options.pattern_group = number(std::string_view(text).substr(colon + 1));
  options.way = PruneWay::kPattern;
  return options.pattern_group == 0 ? Status(fail(bad_prune_recipe("pattern"))) : ok();
}

Status read_structured(const Recipe& recipe, const std::string& name, PruneOptions& options) {
  const auto* const row = std::ranges::find(kStructured, name, &PruneWayRow::name);
  if (row == std::end(kStructured)) return fail(bad_prune_recipe("structured"));
  options.way = row->way;
  KILTER_ASSIGN(options.fraction, own_number(recipe, "fraction", 0));
  KILTER_ASSIGN(const double heads, own_number(recipe, "heads", 0));
  if (!(heads >= 0 && heads < 65536)) return fail(bad_prune_recipe("heads"));
  options.head_count = static_cast<std::uint32_t>(heads);
  return ok();
}

}  // namespace

Result<WeightsReport> follow_prune(const Recipe& recipe, const std::string& target,
                                   const WeightsOptions& how) {
  KILTER_TRY(check_own_keys(
      recipe, {"sparsity", "by", "pattern", "structured", "fraction", "heads", "only", "exclude"}));
  auto options = options_for<PruneOptions>(how);
  KILTER_ASSIGN(options.sparsity, own_number(recipe, "sparsity", options.sparsity));
  KILTER_ASSIGN(const std::string by, own_text(recipe, "by", "tensor"));
  KILTER_ASSIGN(const std::string pattern, own_text(recipe, "pattern"));
  KILTER_ASSIGN(const std::string structured, own_text(recipe, "structured"));
  KILTER_ASSIGN(options.only, own_texts(recipe, "only"));
  KILTER_ASSIGN(options.exclude, own_texts(recipe, "exclude"));
  options.global = by == "global";
  if (!pattern.empty()) KILTER_TRY(read_pattern(pattern, options));
  if (!structured.empty()) KILTER_TRY(read_structured(recipe, structured, options));
  if (recipe.inputs.size() == 2) {
    options.way = PruneWay::kMask;
    options.mask_source = recipe.inputs[1].address;
  }
  return prune(recipe.inputs.front().address, target, options);
}

}  // namespace ops

Result<WeightsReport> prune(const std::string& source, const std::string& target,
                            const PruneOptions& options) {
  KILTER_TRY(ops::check_prune(options));
  std::vector<ops::WeightsInput> inputs;
  KILTER_ASSIGN(ops::WeightsInput input, ops::open_weights(source, options.open));
  inputs.push_back(std::move(input));
  if (options.way == PruneWay::kMask) {
    KILTER_ASSIGN(ops::WeightsInput mask, ops::open_weights(options.mask_source, options.open));
    inputs.push_back(std::move(mask));
  }
  return ops::Prune(std::move(inputs), options).run(target);
}

}  // namespace kilter
