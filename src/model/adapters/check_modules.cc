#include "model/adapters/check_modules.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/checked.h"
#include "base/try.h"

namespace kilter::model {
namespace {

using Shape = std::vector<std::int64_t>;

std::string module_name(const AdapterModule& module) {
  if (!module.factors.empty() && !module.factors.front().name.empty())
    return module.factors.front().name;
  return module.part.empty() ? module.path : module.part + "." + module.path;
}

Error missing(const AdapterModule& module, std::string_view what) {
  return Error(ErrorCode::kMalformed, fmt::format("the layer's factor {} is missing", what))
      .at_tensor(module_name(module));
}

Error misfit(const AdapterFactor& factor, std::string wanted) {
  return Error(ErrorCode::kMalformed, "the layer's factors do not fit each other")
      .at_tensor(factor.name)
      .wanted(std::move(wanted), fmt::format("[{}]", fmt::join(factor.shape, ", ")));
}

Status want_matrix(const AdapterFactor& factor) {
  if (factor.shape.size() < 2) return fail(misfit(factor, "two dimensions or more"));
  return ok();
}

/// left [a, k] · right [k, b, …]
Status check_product(const AdapterFactor* left, const AdapterFactor* right) {
  KILTER_TRY(want_matrix(*left));
  KILTER_TRY(want_matrix(*right));
  if (left->shape[1] == right->shape[0]) return ok();
  return fail(misfit(*left, fmt::format("[…, {}]", right->shape[0])));
}

/// A Tucker core [r, s, kh, kw] between left [out, r] or [r, out] and right [s, in].
Status check_core(const AdapterFactor& core, std::int64_t left_rank, std::int64_t right_rank) {
  if (core.shape.size() < 3 || core.shape[0] != left_rank || core.shape[1] != right_rank)
    return fail(misfit(core, fmt::format("[{}, {}, …]", left_rank, right_rank)));
  return ok();
}

Status check_lora(const AdapterModule& module) {
  const auto *up = module.find(FactorRole::kUp), *down = module.find(FactorRole::kDown);
  if (up == nullptr) return fail(missing(module, "lora_B (lora_up)"));
  if (down == nullptr) return fail(missing(module, "lora_A (lora_down)"));
  const auto* mid = module.find(FactorRole::kMid);
  if (mid == nullptr) return check_product(up, down);
  KILTER_TRY(want_matrix(*up));
  KILTER_TRY(want_matrix(*down));
  return check_core(*mid, up->shape[1], down->shape[0]);
}

struct PairRoles {
  FactorRole a, b, core;
  std::string_view name_a, name_b;
};

/// w_a · w_b, or with a core: w_a^T over the core over w_b.
Status check_pair(const AdapterModule& module, const PairRoles& roles) {
  const auto *a = module.find(roles.a), *b = module.find(roles.b);
  if (a == nullptr) return fail(missing(module, roles.name_a));
  if (b == nullptr) return fail(missing(module, roles.name_b));
  const auto* core = module.find(roles.core);
  if (core == nullptr) return check_product(a, b);
  KILTER_TRY(want_matrix(*a));
  KILTER_TRY(want_matrix(*b));
  return check_core(*core, a->shape[0], b->shape[0]);
}

/// out and in of a pair, and the core's further dimensions.
Shape pair_shape(const AdapterModule& module, const PairRoles& roles) {
  const auto *a = module.find(roles.a), *b = module.find(roles.b);
  const auto* core = module.find(roles.core);
  Shape shape = {core != nullptr ? a->shape[1] : a->shape[0]};
  shape.insert(shape.end(), b->shape.begin() + 1, b->shape.end());
  if (core != nullptr) shape.insert(shape.end(), core->shape.begin() + 2, core->shape.end());
  return shape;
}

constexpr PairRoles kHadaOne = {FactorRole::kW1A, FactorRole::kW1B, FactorRole::kT1, "hada_w1_a",
                                "hada_w1_b"};
constexpr PairRoles kHadaTwo = {FactorRole::kW2A, FactorRole::kW2B, FactorRole::kT2, "hada_w2_a",
                                "hada_w2_b"};
constexpr PairRoles kLokrOne = {FactorRole::kW1A, FactorRole::kW1B, FactorRole::kT1, "lokr_w1_a",
                                "lokr_w1_b"};
constexpr PairRoles kLokrTwo = {FactorRole::kW2A, FactorRole::kW2B, FactorRole::kT2, "lokr_w2_a",
                                "lokr_w2_b"};

Status check_loha(const AdapterModule& module) {
  KILTER_TRY(check_pair(module, kHadaOne));
  KILTER_TRY(check_pair(module, kHadaTwo));
  if (pair_shape(module, kHadaOne) != pair_shape(module, kHadaTwo))
    return fail(misfit(*module.find(FactorRole::kW2A), "the shape of the first pair's product"));
  return ok();
}

Status check_lokr(const AdapterModule& module) {
  for (const auto& [role, roles] :
       {std::pair(FactorRole::kW1, kLokrOne), std::pair(FactorRole::kW2, kLokrTwo)}) {
    const auto* whole = module.find(role);
    if (whole == nullptr)
      KILTER_TRY(check_pair(module, roles));
    else
      KILTER_TRY(want_matrix(*whole));
  }
  return ok();
}

Shape half_shape(const AdapterModule& module, FactorRole whole, const PairRoles& roles) {
  const auto* factor = module.find(whole);
  return factor != nullptr ? factor->shape : pair_shape(module, roles);
}

Shape lokr_shape(const AdapterModule& module) {
  const Shape one = half_shape(module, FactorRole::kW1, kLokrOne);
  Shape two = half_shape(module, FactorRole::kW2, kLokrTwo);
  // Products of dimensions that stand in a valid index; an absurd one fits no base.
  for (std::size_t i = 0; i < 2; ++i) {
    std::int64_t product = 0;
    two[i] = __builtin_mul_overflow(one[i], two[i], &product) ? -1 : product;
  }
  return two;
}

Shape lora_shape(const AdapterModule& module) {
  const auto *up = module.find(FactorRole::kUp), *down = module.find(FactorRole::kDown);
  const auto* mid = module.find(FactorRole::kMid);
  Shape shape = {up->shape[0]};
  shape.insert(shape.end(), down->shape.begin() + 1, down->shape.end());
  if (mid == nullptr) return shape;
  shape.resize(2);
  shape.insert(shape.end(), mid->shape.begin() + 2, mid->shape.end());
  return shape;
}

}  // namespace

Status check_module(const AdapterModule& module) {
  switch (module.kind) {
    case ModuleKind::kLora:
      return check_lora(module);
    case ModuleKind::kLoha:
      return check_loha(module);
    case ModuleKind::kLokr:
      return check_lokr(module);
    default:
      return ok();
  }
}

std::vector<std::int64_t> module_shape(const AdapterModule& module) {
  switch (module.kind) {
    case ModuleKind::kLora:
      return lora_shape(module);
    case ModuleKind::kLoha:
      return pair_shape(module, kHadaOne);
    case ModuleKind::kLokr:
      return lokr_shape(module);
    case ModuleKind::kDiff: {
      const auto* diff = module.find(FactorRole::kDiff);
      return diff == nullptr ? Shape{} : diff->shape;
    }
    default:
      return {};
  }
}

}  // namespace kilter::model
