// One tensor of a merge, and the methods that make it.
//
// A recipe is taken apart into these (recipe_plan.h); a method turns each into a kernel for the
// engine. Methods that must see whole tensors first (norms, thresholds) read them in passes of
// bounded memory before the plan runs.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kilter/dtype.h"
#include "kilter/progress.h"

#include "flow/plan.h"

namespace kilter::ops {

enum class MergeMethod : std::uint8_t {
  kLinear,
  kSlerp,
  kNuslerp,
  kMultislerp,
  kKarcher,
  kTaskArithmetic,
  kTies,
  kDareLinear,
  kDareTies,
  kBreadcrumbs,
  kBreadcrumbsTies,
  kDella,
  kDellaLinear,
  kModelStock,
  kNearswap,
  kSce,
  kArceeFusion,
  kPassthrough,
  kRam,
  kRamPlus,
};
/// mergekit's own spelling: "dare_ties", "ramplus_tl", …
std::string_view merge_method_name(MergeMethod method);
std::optional<MergeMethod> merge_method_from_name(std::string_view name);

/// Whose arithmetic is followed where tool and paper differ by more than rounding.
/// Source: docs/merge-fidelity.md.
enum class MergeCompat : std::uint8_t { kMergekit, kPaper };

/// What a recipe may say for one tensor of one model. Which a method reads: docs/merge-methods.md.
struct TermParameters {
  double weight = 1;
  double density = 1;
  double gamma = 0.01;
  double epsilon = 0.15;
  double scale = 1;  ///< passthrough
};

/// What a recipe may say for the tensor as a whole. Defaults that differ by method are set by
/// whoever fills this (merge_defaults()).
struct MergeParameters {
  double t = 0.5;
  double lambda = 1;
  bool normalize = false;  ///< linear, multislerp and the family of task arithmetic
  bool rescale = false;
  bool nuslerp_flatten = true;
  bool nuslerp_row_wise = false;
  bool filter_wise = false;
  double epsilon = 1e-8;  ///< multislerp: smallest norm
  std::uint32_t max_iterations = 10;
  double tolerance = 1e-5;
  double select_topk = 1;
  double ram_r = 0.1, ram_alpha = 0.2, ram_epsilon = 1e-5;
};
/// How often the inputs are read, as a rule, before the output can be written.
/// Source: docs/merge-methods.md, "What is read, and held".
unsigned merge_passes(MergeMethod method);

/// As the method has them where a recipe is silent. Source: docs/merge-methods.md.
MergeParameters merge_defaults(MergeMethod method);

/// What a method takes. Where a base is kNone, a model that a recipe calls its base is a term like
/// any other; elsewhere it is never a term.
enum class MergeBase : std::uint8_t { kNone, kOptional, kRequired };
struct MergeNeeds {
  std::size_t terms_min = 1, terms_max = 1;
  MergeBase base = MergeBase::kNone;
};
MergeNeeds merge_needs(MergeMethod method);

struct MergeTerm {
  PlanInput input;  ///< kTensor; of the output's shape
  DType dtype = DType::kF32;
  std::string path;  ///< address, for messages
  TermParameters parameters;
};

struct TensorMerge {
  std::string name;  ///< of the output; seeds what is random
  std::vector<std::int64_t> shape;
  DType to = DType::kF32;
  MergeMethod method = MergeMethod::kLinear;
  MergeCompat compat = MergeCompat::kMergekit;
  MergeParameters parameters;
  std::vector<MergeTerm> terms;  ///< in the recipe's order, without the base
  std::optional<MergeTerm> base;
  bool is_embedding = false;
  std::uint64_t seed = 0;
  bool allow_too_large = false;
  bool allow_not_finite = false;
};

struct MergePasses {
  unsigned thread_count = 0;
  std::uint64_t max_memory_bytes = 512ULL << 20;
  RunContext context;
};

/// One kernel for each merge; its inputs are those of the base, if there is one, then of the terms.
/// Reads whole tensors where a method must. Same input, same kernels, for any number of threads.
/// Errors: kInvalidArgument where terms, base or parameters do not fit the method; what sources
/// report.
Result<std::vector<std::shared_ptr<const Kernel>>> make_merge_kernels(
    std::span<const TensorMerge> merges, const MergePasses& passes);

}  // namespace kilter::ops
