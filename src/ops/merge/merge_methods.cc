#include <algorithm>
#include <iterator>
#include <limits>

#include "ops/merge/tensor_merge.h"

namespace kilter::ops {
namespace {

constexpr std::size_t kAnyCount = std::numeric_limits<std::size_t>::max();

struct MethodRow {
  MergeMethod method;
  std::string_view name;
  MergeNeeds needs;
};

constexpr MethodRow kMethods[] = {
    {MergeMethod::kLinear, "linear", {1, kAnyCount, MergeBase::kNone}},
    {MergeMethod::kSlerp, "slerp", {1, 1, MergeBase::kRequired}},
    {MergeMethod::kNuslerp, "nuslerp", {2, 2, MergeBase::kOptional}},
    {MergeMethod::kMultislerp, "multislerp", {1, kAnyCount, MergeBase::kOptional}},
    {MergeMethod::kKarcher, "karcher", {1, kAnyCount, MergeBase::kNone}},
    {MergeMethod::kTaskArithmetic, "task_arithmetic", {0, kAnyCount, MergeBase::kRequired}},
    {MergeMethod::kTies, "ties", {0, kAnyCount, MergeBase::kRequired}},
    {MergeMethod::kDareLinear, "dare_linear", {0, kAnyCount, MergeBase::kRequired}},
    {MergeMethod::kDareTies, "dare_ties", {0, kAnyCount, MergeBase::kRequired}},
    {MergeMethod::kBreadcrumbs, "breadcrumbs", {0, kAnyCount, MergeBase::kRequired}},
    {MergeMethod::kBreadcrumbsTies, "breadcrumbs_ties", {0, kAnyCount, MergeBase::kRequired}},
    {MergeMethod::kDella, "della", {0, kAnyCount, MergeBase::kRequired}},
    {MergeMethod::kDellaLinear, "della_linear", {0, kAnyCount, MergeBase::kRequired}},
    {MergeMethod::kModelStock, "model_stock", {2, kAnyCount, MergeBase::kRequired}},
    {MergeMethod::kNearswap, "nearswap", {1, 1, MergeBase::kRequired}},
    {MergeMethod::kSce, "sce", {0, kAnyCount, MergeBase::kRequired}},
    {MergeMethod::kArceeFusion, "arcee_fusion", {1, 1, MergeBase::kRequired}},
    {MergeMethod::kPassthrough, "passthrough", {1, 1, MergeBase::kNone}},
    {MergeMethod::kRam, "ram", {1, kAnyCount, MergeBase::kRequired}},
    {MergeMethod::kRamPlus, "ramplus_tl", {1, kAnyCount, MergeBase::kRequired}},
};

const MethodRow& method_row(MergeMethod method) {
  return *std::ranges::find(kMethods, method, &MethodRow::method);
}

}  // namespace

std::string_view merge_method_name(MergeMethod method) { return method_row(method).name; }

std::optional<MergeMethod> merge_method_from_name(std::string_view name) {
  const auto* const row = std::ranges::find(kMethods, name, &MethodRow::name);
  if (row == std::end(kMethods)) return std::nullopt;
  return row->method;
}

MergeNeeds merge_needs(MergeMethod method) { return method_row(method).needs; }

unsigned merge_passes(MergeMethod method) {
  switch (method) {
    case MergeMethod::kLinear:
    case MergeMethod::kPassthrough:
    case MergeMethod::kTaskArithmetic:
    case MergeMethod::kNearswap:
    case MergeMethod::kRam:
      return 0;
    case MergeMethod::kArceeFusion:
      return 2;
    case MergeMethod::kSce:
      return 3;
    default:
      return 1;
  }
}

MergeParameters merge_defaults(MergeMethod method) {
  MergeParameters out;
  out.normalize = method == MergeMethod::kLinear || method == MergeMethod::kMultislerp ||
                  method == MergeMethod::kTies || method == MergeMethod::kDella;
  out.rescale = method == MergeMethod::kDareLinear || method == MergeMethod::kDareTies ||
                method == MergeMethod::kDella || method == MergeMethod::kDellaLinear;
  return out;
}

}  // namespace kilter::ops
