#include <fmt/format.h>

#include <cmath>

#include "base/try.h"
#include "ops/merge/element_studies.h"
#include "ops/merge/gram_study.h"
#include "ops/merge/gta.h"
#include "ops/merge/linear_study.h"
#include "ops/merge/merge_study.h"
#include "ops/merge/tensor_merge.h"
#include "tensor/kernels/float_values.h"

namespace kilter::ops {
namespace {

Status merge_failure(const TensorMerge& merge, std::string what, std::string hint = "") {
  Error error(ErrorCode::kInvalidArgument,
              fmt::format("{}: {}", merge_method_name(merge.method), what));
  error.tensor = merge.name;
  error.hint = std::move(hint);
  return fail(std::move(error));
}

std::string wanted_terms(const MergeNeeds& needs) {
  if (needs.terms_min == needs.terms_max) return fmt::format("exactly {}", needs.terms_min);
  return fmt::format("at least {}", needs.terms_min);
}

Status check_terms(const TensorMerge& merge) {
  const MergeNeeds needs = merge_needs(merge.method);
  const std::size_t count = merge.terms.size();
  if (count < needs.terms_min || count > needs.terms_max)
    return merge_failure(
        merge, fmt::format("takes {} model{}{}, not {}", wanted_terms(needs),
                           needs.terms_min == 1 ? "" : "s",
                           needs.base == MergeBase::kNone ? "" : " beside the base", count));
  if (needs.base == MergeBase::kRequired && !merge.base)
    return merge_failure(merge, "needs a base model", "name one: base_model");
  if (needs.base == MergeBase::kNone && merge.base)
    return merge_failure(merge, "takes no base model");
  return ok();
}

Status check_input(const TensorMerge& merge, const MergeTerm& term) {
  if (!has_float_values(term.dtype)) {
    Error error(ErrorCode::kInvalidArgument,
                fmt::format("{} numbers cannot be merged", dtype_name(term.dtype)));
    error.tensor = merge.name;
    error.path = term.path;
    return fail(std::move(error));
  }
  const TermParameters& own = term.parameters;
  for (const auto& [name, value] :
       {std::pair<const char*, double>{"weight", own.weight}, {"scale", own.scale}})
    if (!std::isfinite(value))
      return merge_failure(merge, fmt::format("{} of {} is {:g}", name, term.path, value));
  for (const auto& [name, value] : {std::pair<const char*, double>{"density", own.density},
                                    {"gamma", own.gamma},
                                    {"epsilon", own.epsilon}})
    if (!(value >= 0 && value <= 1))
      return merge_failure(merge,
                           fmt::format("{} of {} is {:g}, not in [0, 1]", name, term.path, value));
  return ok();
}

/// As the tool: chances beyond 0 and 1 are no chances.
Status check_spread(const TensorMerge& merge) {
  if (merge.method != MergeMethod::kDella && merge.method != MergeMethod::kDellaLinear) return ok();
  for (const MergeTerm& term : merge.terms) {
    const double density = term.parameters.density, epsilon = term.parameters.epsilon;
    if (density <= 0 || density >= 1) continue;
    if (density - epsilon <= 0 || density + epsilon >= 1)
      return merge_failure(merge,
                           fmt::format("density {:g} and epsilon {:g} of {} reach beyond "
                                       "(0, 1)",
                                       density, epsilon, term.path),
                           "give a smaller epsilon");
  }
  return ok();
}

bool divides_by_weights(const TensorMerge& merge) {
  const bool normalizes =
      merge.method == MergeMethod::kLinear || merge.method == MergeMethod::kMultislerp;
  const bool is_paper = merge.compat == MergeCompat::kPaper;
  return (normalizes && merge.parameters.normalize) || merge.method == MergeMethod::kNuslerp ||
         (merge.method == MergeMethod::kKarcher && is_paper);
}

Status check_weights(const TensorMerge& merge) {
  double sum = 0;
  for (const MergeTerm& term : merge.terms) sum += term.parameters.weight;
  if (!divides_by_weights(merge) || std::fabs(sum) > 0) return ok();
  return merge_failure(merge, "the weights add up to 0", "give weights with another sum");
}

Status check_merge(const TensorMerge& merge) {
  KILTER_TRY(check_terms(merge));
  if (!has_float_values(merge.to))
    return merge_failure(merge, fmt::format("{} is no dtype to merge into", dtype_name(merge.to)));
  if (merge.base) KILTER_TRY(check_input(merge, *merge.base));
  for (const MergeTerm& term : merge.terms) KILTER_TRY(check_input(merge, term));
  const MergeParameters& own = merge.parameters;
  if (!std::isfinite(own.t) || !std::isfinite(own.lambda))
    return merge_failure(merge, fmt::format("t is {:g}, lambda {:g}", own.t, own.lambda));
  if (!(own.select_topk >= 0 && own.select_topk <= 1))
    return merge_failure(merge, fmt::format("select_topk is {:g}, not in [0, 1]", own.select_topk));
  KILTER_TRY(check_spread(merge));
  return check_weights(merge);
}

Result<std::unique_ptr<MergeStudy>> make_study(const TensorMerge& merge,
                                               std::uint64_t memory_bytes_max) {
  KILTER_TRY(check_merge(merge));
  switch (merge.method) {
    case MergeMethod::kLinear:
    case MergeMethod::kPassthrough:
      return study_linear(merge);
    case MergeMethod::kTaskArithmetic:
    case MergeMethod::kTies:
    case MergeMethod::kDareLinear:
    case MergeMethod::kDareTies:
    case MergeMethod::kBreadcrumbs:
    case MergeMethod::kBreadcrumbsTies:
    case MergeMethod::kDella:
    case MergeMethod::kDellaLinear:
      return study_task_vectors(merge, memory_bytes_max);
    case MergeMethod::kSlerp:
    case MergeMethod::kMultislerp:
    case MergeMethod::kKarcher:
      return study_gram(merge);
    case MergeMethod::kNuslerp:
      return merge.parameters.nuslerp_flatten ? study_gram(merge) : study_line_grams(merge);
    case MergeMethod::kModelStock:
      return merge.parameters.filter_wise ? study_line_grams(merge) : study_gram(merge);
    case MergeMethod::kNearswap:
      return study_nearswap(merge);
    case MergeMethod::kSce:
      return study_sce(merge, memory_bytes_max);
    case MergeMethod::kArceeFusion:
      return study_fusion(merge, memory_bytes_max);
    case MergeMethod::kRam:
    case MergeMethod::kRamPlus:
      return study_ram(merge);
  }
  return fail(ErrorCode::kInternal, "a merge method that nothing computes");
}

}  // namespace

Result<std::vector<std::shared_ptr<const Kernel>>> make_merge_kernels(
    std::span<const TensorMerge> merges, const MergePasses& passes) {
  std::vector<std::unique_ptr<MergeStudy>> studies;
  for (const TensorMerge& merge : merges) {
    KILTER_ASSIGN(auto study, make_study(merge, passes.max_memory_bytes / 4));
    studies.push_back(std::move(study));
  }
  return run_studies(studies, passes);
}

}  // namespace kilter::ops
