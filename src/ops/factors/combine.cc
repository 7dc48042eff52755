// kilter adapter combine: several LoRA adapters as one.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>

#include "kilter/adapter_factors.h"

#include "base/run_jobs.h"
#include "base/thread_pool.h"
#include "base/try.h"
#include "ops/factors/combined_rows.h"
#include "ops/factors/factor_recipe.h"
#include "ops/factors/lora_modules.h"
#include "ops/factors/randomized_svd.h"
#include "ops/weights/recipe_verbs.h"

namespace kilter {
namespace ops {
namespace {

using model::AdapterModule;
using model::ModuleKind;

struct MethodRow {
  CombineMethod method;
  std::string_view name;
};
constexpr MethodRow kMethods[] = {
    {CombineMethod::kCat, "cat"},
    {CombineMethod::kLinear, "linear"},
    {CombineMethod::kSvd, "svd"},
    {CombineMethod::kTies, "ties"},
    {CombineMethod::kDareLinear, "dare_linear"},
    {CombineMethod::kDareTies, "dare_ties"},
    {CombineMethod::kMagnitudePrune, "magnitude_prune"},
};

constexpr double kSumNoise = 1e-14;  // of the factors' norms: binary64 rounds less

double norm_of(const Matrix& matrix) {
  double squares = 0;
  for (const double value : matrix.values) squares += value * value;
  return std::sqrt(squares);
}

/// One module of the result and where it comes from.
struct CombinedModule {
  struct Member {
    std::size_t input = 0;
    const AdapterModule* module = nullptr;
  };
  std::vector<Member> members;
  FactorReport::Module report;
  FactorPair pair;
};

class Combination {
 public:
  Combination(std::vector<LoraInput> inputs, const CombineOptions& options)
      : inputs_(std::move(inputs)), options_(options) {
    dtype_ = options.dtype.value_or(dtype_of_factors(inputs_));
  }

  Result<FactorReport> run(const std::string& target) {
    const auto begun = std::chrono::steady_clock::now();
    model::AdapterNaming naming = inputs_[0].adapter.naming;
    if (!options_.naming.empty()) {
      KILTER_ASSIGN(naming, read_naming(options_.naming));
    }
    report_.verb = "adapter-combine";
    for (const LoraInput& input : inputs_) report_.sources.push_back(input.input.address);
    KILTER_TRY(match());
    KILTER_TRY(compute());
    KILTER_TRY(draft_adapter());
    KILTER_ASSIGN(const std::string recipe, make_recipe());
    KILTER_TRY(draft_.write(naming, target, recipe, options_, report_));
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
    report_.seconds = took.count();
    return std::move(report_);
  }

 private:
  double weight(std::size_t input) const { return options_.weights[input]; }

  // ---- which modules

  Status match() {
    std::map<std::string, std::size_t> by_key;
    for (std::size_t i = 0; i < inputs_.size(); ++i)
      for (const AdapterModule& module : inputs_[i].adapter.modules) {
        if (module.kind != ModuleKind::kLora) {
          KILTER_TRY(add_whole(i, module));
          continue;
        }
        const auto [at, fresh] = by_key.emplace(module.flat_key(), modules_.size());
        if (fresh) modules_.emplace_back();
        modules_[at->second].members.push_back({i, &module});
      }
    for (const CombinedModule& module : modules_) KILTER_TRY(check_members(module));
    return ok();
  }

  Status add_whole(std::size_t input, const AdapterModule& module) {
    if (!options_.allow.contains(Allow::kValues)) {
      Error error(ErrorCode::kInvalidArgument,
                  "tensor " + module.path + " is stored whole, and is no difference to combine");
      error.path = inputs_[input].input.address;
      error.hint = "--allow values takes the first adapter's and leaves out the others'";
      return fail(std::move(error));
    }
    const std::string key = module.flat_key();
    if (std::ranges::find(whole_keys_, key) != whole_keys_.end()) return ok();
    whole_keys_.push_back(key);
    whole_.push_back({input, &module});
    return ok();
  }

  Status check_members(const CombinedModule& module) const {
    const auto& first = module.members.front();
    const ModuleShape shape = shape_of_module(*first.module);
    for (const auto& other : module.members) {
      const ModuleShape its = shape_of_module(*other.module);
      const bool ranks = options_.method != CombineMethod::kLinear || its.rank == shape.rank;
      if (its.rows == shape.rows && its.columns == shape.columns && ranks) continue;
      Error error(ErrorCode::kInvalidArgument, "module " + other.module->path +
                                                   " does not fit that of " +
                                                   inputs_[first.input].input.address);
      error.path = inputs_[other.input].input.address;
      error.expected = fmt::format("[{}, {}] of rank {}", shape.rows, shape.columns, shape.rank);
      error.found = fmt::format("[{}, {}] of rank {}", its.rows, its.columns, its.rank);
      error.hint = ranks ? "adapters for one base can be combined"
                         : "--how cat and --how svd take any ranks";
      return fail(std::move(error));
    }
    return ok();
  }

  // ---- factors

  Status compute() {
    const unsigned threads =
        options_.thread_count == 0 ? usable_cpu_count() : options_.thread_count;
    keep_bytes_ = options_.max_memory_bytes / threads / 4;
    Jobs jobs{"combine", modules_.size(), {}, {}};
    jobs.bytes = [&](std::size_t i) {
      std::uint64_t bytes = 0;
      for (const auto& member : modules_[i].members)
        for (const auto& factor : member.module->factors)
          bytes += inputs_[member.input].input.checkpoint.tensors()[factor.tensor].bytes();
      return bytes;
    };
    jobs.run = [&](std::size_t i) { return combine(modules_[i]); };
    return run_jobs(jobs, threads, options_.context);
  }

  Status combine(CombinedModule& out) {
    std::vector<WeightedFactors> parts;
    for (const auto& member : out.members) {
      KILTER_ASSIGN(LoraFactors factors, read_factors(inputs_[member.input], *member.module));
      // The scale goes into A: PEFT's "cat" has it there, so the factors are the same numbers.
      const double scale = member.module->scale();
      scale_matrix(factors.down, scale);
      parts.push_back({std::move(factors), weight(member.input), scale});
      out.report.rank_before = std::max(out.report.rank_before, parts.back().factors.up.columns);
    }
    out.report.name = out.members.front().module->path;
    out.report.rows = parts.front().factors.up.rows;
    out.report.columns = parts.front().factors.down.rows;
    KILTER_TRY(is_exact() ? from_sum(out, parts) : from_numbers(out, std::move(parts)));
    out.report.rank = out.pair.rank;
    if (std::isfinite(out.report.error)) return ok();
    return fail(Error(ErrorCode::kOutOfRange,
                      "module " + out.report.name + ": its factors are too large for their dtype")
                    .advise("give --dtype f32"));
  }

  bool is_exact() const {
    return options_.method == CombineMethod::kCat || options_.method == CombineMethod::kSvd ||
           options_.method == CombineMethod::kLinear;
  }

  /// cat, linear and svd: from factors alone.
  Status from_sum(CombinedModule& out, const std::vector<WeightedFactors>& parts) const {
    LoraFactors sum{Matrix(out.report.rows, 0), Matrix(out.report.columns, 0)};
    for (const WeightedFactors& part : parts) {
      Matrix down = part.factors.down;
      scale_matrix(down, part.weight);
      sum = {beside(sum.up, part.factors.up), beside(sum.down, down)};
    }
    out.report.norm = norm_of_product(sum.up, sum.down);
    if (options_.method == CombineMethod::kSvd)
      cut(out, svd_of_product(sum.up, sum.down), kSumNoise * norm_of(sum.up) * norm_of(sum.down));
    else
      out.pair = plain_pair(options_.method == CombineMethod::kCat ? sum : linear_sum(parts));
    out.report.error = error_of_pair(sum, out.pair);
    return ok();
  }

  /// Singular values up to `noise` are what rounding left of adapters that cancel out.
  void cut(CombinedModule& out, const ThinSvd& svd, double noise) const {
    double squares = 0, kept = 0;
    for (const double value : svd.values) squares += value * value;
    RankRule rule = rule_for(out);
    rule.value_min = std::max(rule.value_min, noise);
    const std::size_t rank = rank_by_rule(rule, svd.values, squares);
    for (std::size_t k = 0; k < rank; ++k) kept += svd.values[k] * svd.values[k];
    out.report.energy = squares > 0 ? kept / squares : 1;
    if (rank < svd.values.size()) out.report.next = svd.values[rank];
    out.pair = make_factors(svd.left, svd.values, svd.right, rank, options_.split, dtype_);
  }

  RankRule rule_for(const CombinedModule& module) const {
    RankRule rule = options_.rank;
    if (rule.rank == 0) rule.rank = module.report.rank_before;
    return rule;
  }

  /// The roots of weight and scale go into both factors, the sign into A: as PEFT sums them.
  static LoraFactors linear_sum(const std::vector<WeightedFactors>& parts) {
    LoraFactors out{Matrix(parts[0].factors.up.rows, parts[0].factors.up.columns),
                    Matrix(parts[0].factors.down.rows, parts[0].factors.down.columns)};
    for (const WeightedFactors& part : parts) {
      const double whole = part.weight * part.scale;
      if (whole == 0) continue;
      const double root = std::sqrt(std::fabs(whole)), sign = whole < 0 ? -1 : 1;
      for (std::size_t i = 0; i < out.up.values.size(); ++i)
        out.up.values[i] += root * part.factors.up.values[i];
      for (std::size_t i = 0; i < out.down.values.size(); ++i)
        out.down.values[i] += sign * root * part.factors.down.values[i] / part.scale;
    }
    return out;
  }

  FactorPair plain_pair(const LoraFactors& factors) const {
    const std::vector<double> ones(factors.up.columns, 1);
    return make_factors(factors.up, ones, factors.down, ones.size(), FactorSplit::kUp, dtype_);
  }

  /// The others: number by number of the differences, then cut to a rank.
  Status from_numbers(CombinedModule& out, std::vector<WeightedFactors> parts) const {
    const std::string key = out.members.front().module->flat_key();
    const CombineRule rule{options_.method, options_.density, svd_seed(key, options_.seed)};
    KILTER_ASSIGN(const auto matrix,
                  combined_rows(std::move(parts), rule, out.report.name, options_.context));
    RowBlocks blocks(*matrix, keep_bytes_);
    SvdOptions svd;
    svd.rank = rule_for(out).rank;
    svd.energy = options_.rank.energy;
    svd.seed = svd_seed(key, 0);
    KILTER_ASSIGN(const LowRank low, randomized_svd(blocks, svd, options_.context));
    const std::size_t rank = rank_by_rule(rule_for(out), low.values, low.squares);
    out.pair = make_factors(low.left, low.values, low.right, rank, options_.split, dtype_);
    KILTER_ASSIGN(out.report.error,
                  product_error(blocks, out.pair.up, out.pair.down, options_.context));
    out.report.norm = std::sqrt(low.squares);
    out.report.energy = low.energy(rank);
    if (rank < low.values.size()) out.report.next = low.values[rank];
    return ok();
  }

  // ---- the adapter

  Status draft_adapter() {
    begin_draft(draft_, inputs_[0].adapter);
    double squares = 0, errors = 0;
    for (const CombinedModule& one : modules_) {
      squares += one.report.norm * one.report.norm;
      errors += one.report.error * one.report.error;
      report_.modules.push_back(one.report);
      if (one.pair.rank > 0)  // else it does nothing
        add_module(draft_, *one.members.front().module, one.pair, dtype_);
    }
    if (draft_.description.modules.empty())
      return fail(ErrorCode::kInvalidArgument, "nothing of the adapters would be left");
    for (const auto& [input, module] : whole_) copy_module(draft_, inputs_[input], *module);
    report_.norm = std::sqrt(squares);
    report_.error = std::sqrt(errors);
    return ok();
  }

  Result<std::string> make_recipe() {
    Recipe recipe;
    recipe.verb = "adapter-combine";
    recipe.own = combine_words(options_);
    recipe.allow = options_.allow;
    std::vector<WeightsInput> inputs;
    for (const LoraInput& input : inputs_) inputs.push_back(input.input);
    KILTER_ASSIGN(recipe.inputs, describe_inputs(inputs, options_));
    return write_recipe(recipe);
  }

  std::vector<LoraInput> inputs_;
  const CombineOptions& options_;
  DType dtype_ = DType::kF32;
  std::uint64_t keep_bytes_ = 0;
  std::vector<CombinedModule> modules_;
  std::vector<std::string> whole_keys_;
  std::vector<CombinedModule::Member> whole_;
  AdapterDraft draft_;
  FactorReport report_;
};

Status check_combine_options(const CombineOptions& options, std::size_t count) {
  KILTER_TRY(check_factor_options(options));
  if (count < 2) return fail(ErrorCode::kInvalidArgument, "there must be two adapters or more");
  if (options.weights.size() != count)
    return fail(
        Error(ErrorCode::kInvalidArgument, "there must be one weight for each adapter")
            .wanted(fmt::format("{} weights", count), fmt::format("{}", options.weights.size())));
  for (const double weight : options.weights)
    if (!std::isfinite(weight))
      return fail(ErrorCode::kInvalidArgument, "a weight is not a number");
  if (!(options.density > 0 && options.density <= 1))
    return fail(ErrorCode::kInvalidArgument, "the density is above 0 and at most 1");
  return ok();
}

}  // namespace

Result<WeightsReport> follow_adapter_combine(const Recipe& recipe, const std::string& target,
                                             const WeightsOptions& how) {
  auto options = options_for<CombineOptions>(how);
  KILTER_TRY(read_combine_words(recipe, options));
  KILTER_ASSIGN(FactorReport report, combine_adapters(recipe_addresses(recipe), target, options));
  return WeightsReport(std::move(report));
}

}  // namespace ops

std::string_view combine_method_name(CombineMethod method) {
  for (const auto& row : ops::kMethods)
    if (row.method == method) return row.name;
  return "";
}

std::optional<CombineMethod> combine_method_from_name(std::string_view name) {
  for (const auto& row : ops::kMethods)
    if (row.name == name) return row.method;
  return std::nullopt;
}

Result<FactorReport> combine_adapters(const std::vector<std::string>& sources,
                                      const std::string& target, const CombineOptions& given) {
  CombineOptions options = given;
  if (options.weights.empty()) options.weights.assign(sources.size(), 1.0);
  KILTER_TRY(ops::check_combine_options(options, sources.size()));
  std::vector<ops::LoraInput> inputs;
  for (const std::string& source : sources) {
    KILTER_ASSIGN(ops::LoraInput input, ops::open_lora(source, options.open));
    inputs.push_back(std::move(input));
  }
  KILTER_TRY(ops::check_factor_memory(inputs, options));
  return ops::Combination(std::move(inputs), options).run(target);
}

}  // namespace kilter
