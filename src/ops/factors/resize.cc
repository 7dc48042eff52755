// kilter adapter resize: another rank for a LoRA, from its factors alone.
#include <chrono>
#include <cmath>

#include "kilter/adapter_factors.h"

#include "base/run_jobs.h"
#include "base/try.h"
#include "ops/factors/factor_recipe.h"
#include "ops/factors/lora_modules.h"
#include "ops/weights/recipe_verbs.h"

namespace kilter {
namespace ops {
namespace {

using model::AdapterModule;
using model::ModuleKind;

class Resize {
 public:
  Resize(std::vector<LoraInput> inputs, const ResizeOptions& options)
      : inputs_(std::move(inputs)), options_(options) {
    dtype_ = options.dtype.value_or(dtype_of_factors(inputs_));
  }

  Result<FactorReport> run(const std::string& target) {
    const auto begun = std::chrono::steady_clock::now();
    model::AdapterNaming naming = adapter().naming;
    if (!options_.naming.empty()) {
      KILTER_ASSIGN(naming, read_naming(options_.naming));
    }
    report_.verb = "adapter-resize";
    report_.sources = {inputs_[0].input.address};
    KILTER_TRY(compute());
    KILTER_TRY(draft_adapter());
    KILTER_ASSIGN(const std::string recipe, make_recipe());
    KILTER_TRY(draft_.write(naming, target, recipe, options_, report_));
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
    report_.seconds = took.count();
    return std::move(report_);
  }

 private:
  struct Resized {
    FactorReport::Module module;
    FactorPair pair;
  };
  const model::AdapterDescription& adapter() const { return inputs_[0].adapter; }

  Status compute() {
    const auto& modules = adapter().modules;
    resized_.resize(modules.size());
    Jobs jobs{"resize", modules.size(), {}, {}};
    jobs.bytes = [&](std::size_t i) {
      std::uint64_t bytes = 0;
      for (const auto& factor : modules[i].factors)
        bytes += inputs_[0].input.checkpoint.tensors()[factor.tensor].bytes();
      return bytes;
    };
    jobs.run = [&](std::size_t i) {
      return modules[i].kind == ModuleKind::kLora ? resize(modules[i], resized_[i]) : ok();
    };
    return run_jobs(jobs, options_.thread_count, options_.context);
  }

  Status resize(const AdapterModule& module, Resized& out) {
    KILTER_ASSIGN(LoraFactors factors, read_factors(inputs_[0], module));
    scale_matrix(factors.up, module.scale());
    const ThinSvd svd = svd_of_product(factors.up, factors.down);
    double squares = 0, kept = 0;
    for (const double value : svd.values) squares += value * value;
    const std::size_t rank = rank_by_rule(options_.rank, svd.values, squares);
    for (std::size_t k = 0; k < rank; ++k) kept += svd.values[k] * svd.values[k];
    out.pair = make_factors(svd.left, svd.values, svd.right, rank, options_.split, dtype_);
    out.module = {module.path,
                  factors.up.rows,
                  factors.down.rows,
                  rank,
                  factors.up.columns,
                  std::sqrt(squares),
                  error_of_pair(factors, out.pair),
                  squares > 0 ? kept / squares : 1,
                  rank < svd.values.size() ? svd.values[rank] : 0};
    if (std::isfinite(out.module.error)) return ok();
    return fail(Error(ErrorCode::kOutOfRange,
                      "module " + module.path + ": its factors are too large for their dtype")
                    .at_path(inputs_[0].input.address)
                    .advise("give --dtype f32"));
  }

  Status draft_adapter() {
    begin_draft(draft_, adapter());
    double squares = 0, errors = 0;
    std::size_t factored = 0;
    for (std::size_t i = 0; i < resized_.size(); ++i) {
      const AdapterModule& module = adapter().modules[i];
      if (module.kind != ModuleKind::kLora) {
        copy_module(draft_, inputs_[0], module);
        continue;
      }
      const Resized& one = resized_[i];
      squares += one.module.norm * one.module.norm;
      errors += one.module.error * one.module.error;
      report_.modules.push_back(one.module);
      if (one.module.rank == 0) continue;  // it does nothing
      add_module(draft_, module, one.pair, dtype_);
      ++factored;
    }
    report_.norm = std::sqrt(squares);
    report_.error = std::sqrt(errors);
    if (factored > 0) return ok();
    return fail(ErrorCode::kInvalidArgument, "nothing of the adapter would be left");
  }

  Result<std::string> make_recipe() {
    Recipe recipe;
    recipe.verb = "adapter-resize";
    recipe.own = factor_words(options_);
    recipe.allow = options_.allow;
    std::vector<WeightsInput> inputs;
    inputs.push_back(inputs_[0].input);
    KILTER_ASSIGN(recipe.inputs, describe_inputs(inputs, options_));
    return write_recipe(recipe);
  }

  std::vector<LoraInput> inputs_;
  const ResizeOptions& options_;
  DType dtype_ = DType::kF32;
  std::vector<Resized> resized_;
  AdapterDraft draft_;
  FactorReport report_;
};

}  // namespace

Result<WeightsReport> follow_adapter_resize(const Recipe& recipe, const std::string& target,
                                            const WeightsOptions& how) {
  auto options = options_for<ResizeOptions>(how);
  KILTER_TRY(read_resize_words(recipe, options));
  KILTER_ASSIGN(FactorReport report,
                resize_adapter(recipe.inputs.front().address, target, options));
  return WeightsReport(std::move(report));
}

}  // namespace ops

Result<FactorReport> resize_adapter(const std::string& source, const std::string& target,
                                    const ResizeOptions& options) {
  KILTER_TRY(ops::check_factor_options(options));
  if (options.rank.rank == 0)
    return fail(ErrorCode::kInvalidArgument, "the rank must be at least 1");
  KILTER_ASSIGN(ops::LoraInput input, ops::open_lora(source, options.open));
  std::vector<ops::LoraInput> inputs;
  inputs.push_back(std::move(input));
  KILTER_TRY(ops::check_factor_memory(inputs, options));
  return ops::Resize(std::move(inputs), options).run(target);
}

}  // namespace kilter
