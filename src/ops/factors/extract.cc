// kilter adapter extract: what a fine-tune changed, as factors.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "kilter/adapter_factors.h"

#include "base/run_jobs.h"
#include "base/thread_pool.h"
#include "base/try.h"
#include "ops/factors/adapter_draft.h"
#include "ops/factors/extract_rules.h"
#include "ops/factors/factor_pair.h"
#include "ops/factors/factor_recipe.h"
#include "ops/factors/randomized_svd.h"
#include "ops/weights/recipe_verbs.h"
#include "ops/weights/tensor_pairs.h"
#include "tensor/kernels/float_values.h"

namespace kilter {
namespace ops {
namespace {

/// A tensor that both models have, and what becomes of it.
struct ChangedTensor {
  std::size_t tuned = 0, base = 0;  // tensors of the inputs
  std::size_t row = 0;              // of the report
  LayerKind kind = LayerKind::kOther;
  bool factored = false, transposed = false;
  double norm = 0;  // of the difference
  FactorReport::Module module;
  RawBytes up, down;
};

class Extraction {
 public:
  Extraction(std::vector<WeightsInput> inputs, const ExtractOptions& options)
      : inputs_(std::move(inputs)), options_(options), filter_(options) {}

  Result<FactorReport> run(const std::string& target) {
    const auto begun = std::chrono::steady_clock::now();
    KILTER_ASSIGN(const model::AdapterNaming naming,
                  read_naming(options_.naming.empty() ? "peft" : options_.naming));
    report_.verb = "adapter-extract";
    report_.sources = {tuned().address, base().address};
    KILTER_TRY(match());
    KILTER_TRY(check_memory());
    if (!options_.dry_run) {
      KILTER_TRY(compute_factors());
      KILTER_TRY(measure_others());
    }
    KILTER_TRY(draft_adapter());
    KILTER_ASSIGN(const std::string recipe, make_recipe());
    KILTER_TRY(draft_.write(naming, target, recipe, options_, report_));
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
    report_.seconds = took.count();
    return std::move(report_);
  }

 private:
  const WeightsInput& tuned() const { return inputs_[0]; }
  const WeightsInput& base() const { return inputs_[1]; }
  DType dtype() const { return options_.dtype.value_or(DType::kF32); }

  // ---- which tensors

  Status match() {
    transposed_model_ = has_transposed_layers(base());
    for (std::size_t i = 0; i < base().names.size(); ++i)
      if (!base().names[i].empty()) match_one(i);
    for (std::size_t i = 0; i < tuned().names.size(); ++i) {
      const std::string& name = tuned().names[i];
      if (name.empty() || base().find(name)) continue;
      if (allows(Allow::kExtra, name + " is not in " + base().address))
        add_row(name, tuned().info(i).dtype, "left out", "not in the base");
    }
    if (!mismatch_.empty()) return fail(mismatch_error());
    KILTER_TRY(filter_.check_used());
    if (tensors_.empty())
      return fail(Error(ErrorCode::kInvalidArgument, "the two models have no weights in common")
                      .wanted("names such as " + first_name(base()), first_name(tuned())));
    return ok();
  }

  static std::string first_name(const WeightsInput& input) {
    for (const std::string& name : input.names)
      if (!name.empty()) return name;
    return "no tensor";
  }

  void match_one(std::size_t tensor) {
    const std::string& name = base().names[tensor];
    const TensorInfo& info = base().info(tensor);
    const auto other = tuned().find(name);
    if (!other) {
      if (allows(Allow::kMissing, name + " is missing in " + tuned().address))
        add_row(name, info.dtype, "left out", "missing in the tuned model");
      return;
    }
    const TensorInfo& its = tuned().info(*other);
    if (its.shape != info.shape) {
      const std::string what =
          fmt::format("{} is [{}] in {}, not [{}]", name, fmt::join(its.shape, ", "),
                      tuned().address, fmt::join(info.shape, ", "));
      if (allows(Allow::kShape, what)) add_row(name, info.dtype, "left out", "other shape");
      return;
    }
    if (!has_float_values(info.dtype) || !has_float_values(its.dtype)) {
      add_row(name, info.dtype, "left out", "not a float");
      return;
    }
    add_tensor(name, *other, tensor);
  }

  void add_tensor(const std::string& name, std::size_t tuned_tensor, std::size_t base_tensor) {
    const TensorInfo& info = base().info(base_tensor);
    ChangedTensor one;
    one.tuned = tuned_tensor;
    one.base = base_tensor;
    one.kind = layer_kind(name, info.shape);
    const bool layer = one.kind == LayerKind::kLinear || one.kind == LayerKind::kConvolution;
    const bool embedding = one.kind == LayerKind::kEmbedding;
    const bool wanted = layer || (embedding && options_.embeddings == Remainder::kFactors);
    one.factored = wanted && filter_.wants(module_place(name).path);
    one.transposed = embedding || (transposed_model_ && is_transposed_layer(name));
    one.row = add_row(name, tuned().info(tuned_tensor).dtype, "unchanged", "");
    tensors_.push_back(std::move(one));
  }

  std::size_t add_row(const std::string& name, DType dtype, std::string fate, std::string reason) {
    WeightsReport::Tensor row;
    row.name = name;
    row.from = row.to = dtype;
    row.fate = std::move(fate);
    row.reason = std::move(reason);
    report_.tensors.push_back(std::move(row));
    return report_.tensors.size() - 1;
  }

  bool allows(Allow kind, const std::string& what) {
    if (options_.allow.contains(kind)) return true;
    if (mismatch_.empty()) mismatch_kind_ = kind;
    if (++mismatches_ <= 4) mismatch_ += (mismatch_.empty() ? "" : "; ") + what;
    return false;
  }

  Error mismatch_error() const {
    std::string text = "the models do not fit together: " + mismatch_;
    if (mismatches_ > 4) text += fmt::format("; and {} more", mismatches_ - 4);
    return Error(ErrorCode::kInvalidArgument, std::move(text))
        .advise(
            fmt::format("to leave such tensors out give --allow {}", allow_name(mismatch_kind_)));
  }

  // ---- memory

  std::uint64_t factor_bytes(const ChangedTensor& one) const {
    const Shape shape = shape_of(one);
    const std::size_t rank = std::min({options_.rank.rank, shape.rows, shape.columns});
    return (shape.rows + shape.columns) * rank * dtype_row(dtype()).bits / 8;
  }

  struct Shape {
    std::size_t rows, columns;
  };
  Shape shape_of(const ChangedTensor& one) const {
    const TensorInfo& info = base().info(one.base);
    const auto rows = static_cast<std::size_t>(info.shape.front());
    return {rows, static_cast<std::size_t>(info.element_count()) / rows};
  }

  /// What factors take while others are computed, and what one computation takes beside its matrix.
  Status check_memory() {
    std::uint64_t factors = 0, panels = 0;
    for (const ChangedTensor& one : tensors_) {
      if (!one.factored) continue;
      const Shape shape = shape_of(one);
      const std::size_t width =
          std::min({options_.rank.rank + svd_options("").oversampling, shape.rows, shape.columns});
      factors += factor_bytes(one);
      panels = std::max<std::uint64_t>(panels, (shape.rows + shape.columns) * width * 28);
    }
    const std::uint64_t budget = options_.max_memory_bytes;
    const std::uint64_t floor = panels + (8U << 20);  // and some rows of the matrix
    if (factors > budget || floor > budget - factors)
      return fail(
          Error(ErrorCode::kLimitExceeded, "the factors do not fit the memory budget")
              .wanted(fmt::format("{} bytes", budget), fmt::format("{} bytes", factors + floor))
              .advise("give more --max-memory, a smaller --rank, or --dtype bf16"));
    const unsigned wanted = options_.thread_count == 0 ? usable_cpu_count() : options_.thread_count;
    const std::uint64_t room = budget - factors;
    threads_ = static_cast<unsigned>(std::clamp<std::uint64_t>(room / floor, 1, wanted));
    keep_bytes_ = room / threads_ - panels;
    return ok();
  }

  // ---- factors

  SvdOptions svd_options(const std::string& name) const {
    SvdOptions svd;
    svd.rank = options_.rank.rank;
    svd.energy = options_.rank.energy;
    svd.iterations = options_.iterations;
    svd.seed = svd_seed(name, options_.seed);
    return svd;
  }

  Status compute_factors() {
    std::vector<ChangedTensor*> work;  // the largest first, so that threads end together
    for (ChangedTensor& one : tensors_)
      if (one.factored) work.push_back(&one);
    std::ranges::stable_sort(work, [&](const auto* a, const auto* b) {
      return base().info(a->base).element_count() > base().info(b->base).element_count();
    });
    Jobs jobs{"extract", work.size(), {}, {}};
    jobs.bytes = [&](std::size_t i) {
      return tuned().info(work[i]->tuned).bytes() + base().info(work[i]->base).bytes();
    };
    jobs.run = [&](std::size_t i) { return compute(*work[i]); };
    return run_jobs(jobs, threads_, options_.context);
  }

  Status compute(ChangedTensor& one) {
    const std::string& name = base().names[one.base];
    auto done = factor(one, name);
    if (!done) return fail(std::move(done).error().at_path(tuned().address).at_tensor(name));
    return ok();
  }

  Status factor(ChangedTensor& one, const std::string& name) {
    const auto matrix =
        difference_rows({tuned().checkpoint.source().get(), one.tuned, tuned().address},
                        {base().checkpoint.source().get(), one.base, base().address}, name);
    RowBlocks blocks(*matrix, keep_bytes_);
    KILTER_ASSIGN(const LowRank low, randomized_svd(blocks, svd_options(name), options_.context));
    FactorReport::Module& module = one.module;
    module = {name, low.rows, low.columns, kept_rank(low), 0, std::sqrt(low.squares), 0, 1, 0};
    one.norm = module.norm;
    if (low.squares == 0) return ok();
    const FactorPair pair =
        make_factors(low.left, low.values, low.right, module.rank, options_.split, dtype());
    KILTER_ASSIGN(module.error, product_error(blocks, pair.up, pair.down, options_.context));
    if (!std::isfinite(module.error))
      return fail(Error(ErrorCode::kOutOfRange, "the factors are too large for their dtype")
                      .advise("give --dtype f32"));
    module.energy = low.energy(module.rank);
    if (module.rank < low.values.size()) module.next = low.values[module.rank];
    one.up = one.transposed ? down_bytes(pair, dtype(), true) : up_bytes(pair, dtype(), false);
    one.down = one.transposed ? up_bytes(pair, dtype(), true) : down_bytes(pair, dtype(), false);
    return ok();
  }

  /// Where only --rank was given every module has it, so that loaders need no list of ranks.
  std::size_t kept_rank(const LowRank& low) const {
    const RankRule& rule = options_.rank;
    const bool only_rank =
        !rule.energy && !rule.cumulative && rule.value_min == 0 && rule.value_ratio == 0;
    if (only_rank) return std::min({rule.rank, low.rows, low.columns});
    return rank_by_rule(rule, low.values, low.squares);
  }

  // ---- what gets no factors

  Status measure_others() {
    std::vector<TensorPair> pairs;
    std::vector<ChangedTensor*> work;
    for (ChangedTensor& one : tensors_) {
      if (one.factored) continue;
      const TensorInfo &a = base().info(one.base), &b = tuned().info(one.tuned);
      pairs.push_back(
          {&base(), &tuned(), one.base, one.tuned, a.dtype, b.dtype, true, a.element_count()});
      work.push_back(&one);
    }
    KILTER_ASSIGN(const std::vector<PairSums> sums,
                  sum_pairs(pairs, options_.thread_count, options_.context));
    for (std::size_t i = 0; i < work.size(); ++i) {
      if (sums[i].sums.not_finite > 0 && !options_.allow.contains(Allow::kNonFinite))
        return fail(not_finite(*work[i]));
      work[i]->norm = std::sqrt(sums[i].sums.squares);
    }
    return ok();
  }

  Error not_finite(const ChangedTensor& one) const {
    Error error(ErrorCode::kMalformed, "it has NaN or infinities in one of the models");
    error.path = tuned().address;
    error.tensor = base().names[one.base];
    error.hint = "give --allow nonfinite to leave them out of what is measured";
    return error;
  }

  // ---- the adapter

  Status draft_adapter() {
    model::AdapterDescription& adapter = draft_.description;
    adapter.base_name = base().address;
    double squares = 0, errors = 0, left = 0;
    for (ChangedTensor& one : tensors_) {
      const bool changed = options_.dry_run ? one.factored : one.norm > 0;
      if (!changed) continue;
      if (one.factored && (options_.dry_run || one.module.rank > 0)) {
        add_factors(one);
        squares += one.norm * one.norm;
        errors += one.module.error * one.module.error;
      } else if (goes_whole(one)) {
        add_whole(one);
      } else {
        left += one.norm * one.norm;
        leave_out(one);
      }
    }
    report_.norm = std::sqrt(squares);
    report_.error = std::sqrt(errors);
    report_.left_out_norm = std::sqrt(left);
    if (adapter.modules.empty())
      return fail(ErrorCode::kInvalidArgument,
                  left > 0 ? "only tensors that get no factors differ (norms, biases, embeddings)"
                           : "the two models do not differ");
    return ok();
  }

  bool goes_whole(const ChangedTensor& one) const {
    if (one.kind == LayerKind::kEmbedding) return options_.embeddings == Remainder::kWhole;
    return one.kind == LayerKind::kOther && options_.others == Remainder::kWhole;
  }

  void add_factors(ChangedTensor& one) {
    if (options_.dry_run) {
      const Shape shape = shape_of(one);
      one.module.rows = shape.rows;
      one.module.columns = shape.columns;
      one.module.rank = std::min({options_.rank.rank, shape.rows, shape.columns});
      one.module.name = base().names[one.base];
    }
    const auto rank = static_cast<std::int64_t>(one.module.rank);
    model::AdapterModule module = module_of(one);
    module.alpha = static_cast<double>(rank);
    module.alpha_dtype = DType::kF32;
    module.embedding = one.kind == LayerKind::kEmbedding;
    module.transposed = one.transposed && !module.embedding;
    std::vector<std::int64_t> shape = base().info(one.base).shape;
    if (one.transposed) std::swap(shape[0], shape[1]);
    std::vector<std::int64_t> up(shape.size(), 1), down = shape;
    up[0] = shape[0];
    up[1] = rank;
    down[0] = rank;
    module.factors = {
        {model::FactorRole::kDown, draft_.add(std::move(one.down)), dtype(), std::move(down)},
        {model::FactorRole::kUp, draft_.add(std::move(one.up)), dtype(), std::move(up)}};
    WeightsReport::Tensor& row = report_.tensors[one.row];
    row.fate = "factored";
    row.to = dtype();
    row.bytes =
        (one.module.rows + one.module.columns) * one.module.rank * dtype_row(dtype()).bits / 8;
    draft_.description.modules.push_back(std::move(module));
    report_.modules.push_back(one.module);
  }

  model::AdapterModule module_of(const ChangedTensor& one) const {
    ModulePlace place = module_place(base().names[one.base]);
    model::AdapterModule module;
    module.part = std::move(place.part);
    module.path = std::move(place.path);
    return module;
  }

  void add_whole(const ChangedTensor& one) {
    const TensorInfo& info = tuned().info(one.tuned);
    model::AdapterModule module = module_of(one);
    module.path = base().names[one.base];
    module.part.clear();
    module.kind = model::ModuleKind::kReplace;
    module.factors = {{model::FactorRole::kTensor,
                       draft_.add({tuned().checkpoint.source(), InputKind::kTensor, one.tuned, 0}),
                       info.dtype, info.shape}};
    WeightsReport::Tensor& row = report_.tensors[one.row];
    row.fate = "whole";
    row.bytes = info.bytes();
    draft_.description.modules.push_back(std::move(module));
  }

  void leave_out(const ChangedTensor& one) {
    WeightsReport::Tensor& row = report_.tensors[one.row];
    row.fate = "left out";
    row.reason = fmt::format("changed by {:.3g}, gets no factors", one.norm);
    ++report_.left_out;
    report_.left_out_bytes += tuned().info(one.tuned).bytes();
  }

  Result<std::string> make_recipe() const {
    Recipe recipe;
    recipe.verb = "adapter-extract";
    recipe.own = extract_words(options_);
    recipe.allow = options_.allow;
    KILTER_ASSIGN(recipe.inputs, describe_inputs(inputs_, options_));
    return write_recipe(recipe);
  }

  std::vector<WeightsInput> inputs_;
  const ExtractOptions& options_;
  ModuleFilter filter_;
  bool transposed_model_ = false;
  std::vector<ChangedTensor> tensors_;
  std::string mismatch_;
  Allow mismatch_kind_ = Allow::kMissing;
  std::size_t mismatches_ = 0;
  unsigned threads_ = 1;
  std::uint64_t keep_bytes_ = 0;
  AdapterDraft draft_;
  FactorReport report_;
};

Status check_extract_options(const ExtractOptions& options) {
  KILTER_TRY(check_factor_options(options));
  if (options.rank.rank == 0)
    return fail(ErrorCode::kInvalidArgument, "the rank must be at least 1");
  if (options.iterations < 0 || options.iterations > 20)
    return fail(ErrorCode::kInvalidArgument, "--iterations is between 0 and 20");
  if (options.others == Remainder::kFactors)
    return fail(ErrorCode::kInvalidArgument, "only embeddings can get factors beside layers");
  return ok();
}

}  // namespace

Result<WeightsReport> follow_adapter_extract(const Recipe& recipe, const std::string& target,
                                             const WeightsOptions& how) {
  auto options = options_for<ExtractOptions>(how);
  KILTER_TRY(read_extract_words(recipe, options));
  const std::vector<std::string> sources = recipe_addresses(recipe);
  if (sources.size() != 2)
    return fail(ErrorCode::kMalformed, "the recipe's inputs do not fit its verb");
  KILTER_ASSIGN(FactorReport report, extract_adapter(sources[0], sources[1], target, options));
  return WeightsReport(std::move(report));
}

}  // namespace ops

Result<FactorReport> extract_adapter(const std::string& tuned, const std::string& base,
                                     const std::string& target, const ExtractOptions& options) {
  KILTER_TRY(ops::check_extract_options(options));
  std::vector<ops::WeightsInput> inputs;
  for (const std::string* address : {&tuned, &base}) {
    KILTER_ASSIGN(ops::WeightsInput input, ops::open_weights(*address, options.open));
    inputs.push_back(std::move(input));
  }
  return ops::Extraction(std::move(inputs), options).run(target);
}

}  // namespace kilter
