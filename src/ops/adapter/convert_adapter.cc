// kilter adapter convert: the same factors under another naming's names.
#include <nlohmann/json.hpp>

#include "kilter/adapter.h"

#include "base/json.h"
#include "base/try.h"
#include "model/adapters/name_adapter.h"
#include "model/adapters/read_adapter.h"
#include "ops/factors/adapter_draft.h"
#include "ops/weights/recipe_verbs.h"
#include "ops/weights/weights_output.h"

namespace kilter {
namespace ops {
namespace {

Result<std::string> conversion_recipe(const WeightsInput& input,
                                      const AdapterConvertOptions& options) {
  Recipe recipe;
  recipe.verb = "adapter-convert";
  recipe.allow = options.allow;
  recipe.own["naming"] = options.naming;
  KILTER_ASSIGN(recipe.inputs, describe_inputs({input}, options));
  return write_recipe(recipe);
}

void report_conversion(const model::AdapterDescription& adapter, const model::NamedAdapter& named,
                       WeightsReport* report) {
  for (const auto& tensor : named.tensors) {
    const model::AdapterFactor& factor = adapter.modules[tensor.module].factors[tensor.factor];
    WeightsReport::Tensor row;
    row.name = tensor.name;
    row.fate = "copied";
    row.from = row.to = factor.dtype;
    row.bytes = dtype_row(factor.dtype).bits / 8;
    for (const std::int64_t dimension : factor.shape)
      row.bytes *= static_cast<std::uint64_t>(dimension);
    report->tensors.push_back(std::move(row));
  }
  for (const auto& scalar : named.scalars) {
    WeightsReport::Tensor row;
    row.name = scalar.name;
    row.fate = "stated";
    row.from = row.to = scalar.dtype;
    row.bytes = dtype_row(scalar.dtype).bits / 8;
    report->tensors.push_back(std::move(row));
  }
}

/// Tensors no rule knows would be lost.
Status check_ignored(const model::AdapterDescription& adapter, const std::string& address,
                     const WeightsOptions& options) {
  if (adapter.ignored.empty() || options.allow.contains(Allow::kExtra)) return ok();
  return fail(Error(ErrorCode::kInvalidArgument, "the tensor is " + adapter.ignored.front().second)
                  .at_path(address)
                  .at_tensor(adapter.ignored.front().first)
                  .advise("give --allow extra to leave such tensors out"));
}

}  // namespace

Result<WeightsReport> follow_adapter_convert(const Recipe& recipe, const std::string& target,
                                             const WeightsOptions& how) {
  KILTER_TRY(check_own_keys(recipe, {"naming"}));
  auto options = options_for<AdapterConvertOptions>(how);
  KILTER_ASSIGN(options.naming, own_text(recipe, "naming"));
  return convert_adapter(recipe.inputs.front().address, target, options);
}

}  // namespace ops

Result<WeightsReport> convert_adapter(const std::string& source, const std::string& target,
                                      const AdapterConvertOptions& options) {
  KILTER_ASSIGN(const model::AdapterNaming naming, ops::read_naming(options.naming));
  KILTER_ASSIGN(Checkpoint checkpoint, open_checkpoint(source, options.open));
  KILTER_ASSIGN(auto adapter, model::read_adapter(checkpoint, options.open));
  KILTER_TRY(ops::check_ignored(adapter, source, options));
  auto named = model::name_adapter(adapter, naming);
  if (!named) return fail(std::move(named.error()).at_path(source));
  WeightsReport report;
  report.verb = "adapter-convert";
  report.sources = {source};
  ops::report_conversion(adapter, *named, &report);
  ops::AdapterDraft draft;
  for (const auto& tensor : named->tensors) {
    model::AdapterFactor& factor = adapter.modules[tensor.module].factors[tensor.factor];
    factor.tensor = draft.add({checkpoint.source(), InputKind::kTensor, factor.tensor, 0});
    factor.shape = tensor.shape;
  }
  draft.description = std::move(adapter);
  const ops::WeightsInput input = {source, std::move(checkpoint), {}, {}};
  KILTER_ASSIGN(const std::string recipe, ops::conversion_recipe(input, options));
  KILTER_TRY(draft.write(naming, target, recipe, options, report));
  return report;
}

}  // namespace kilter
