// kilter adapter apply: a base with adapters in it.
#include <cmath>

#include <nlohmann/json.hpp>

#include "kilter/adapter.h"

#include "base/hash.h"
#include "base/json.h"
#include "base/text.h"
#include "base/try.h"
#include "model/adapters/read_adapter.h"
#include "ops/adapter/apply_plan.h"
#include "ops/weights/recipe_verbs.h"
#include "ops/weights/weights_output.h"

namespace kilter {
namespace ops {
namespace {

class AdapterApplication {
 public:
  AdapterApplication(const std::vector<AdapterStrength>& adapters, const WeightsOptions& options)
      : adapters_(adapters), options_(options) {}

  Result<WeightsReport> run(const std::string& base, const std::string& target,
                            const std::vector<std::string>* expected_configs) {
    KILTER_TRY(open(base));
    if (expected_configs != nullptr) KILTER_TRY(check_configs(*expected_configs));
    ApplyRequest request;
    request.base = &inputs_.front();
    request.allow = options_.allow;
    request.max_memory_bytes = options_.max_memory_bytes;
    request.thread_count = options_.thread_count;
    for (std::size_t i = 0; i < adapters_.size(); ++i)
      request.adapters.push_back({&inputs_[i + 1], &descriptions_[i], adapters_[i].strength});
    KILTER_ASSIGN(ApplyPlan plan, plan_apply(request));
    KILTER_ASSIGN(const std::string recipe, make_recipe());
    WeightsReport report;
    report.verb = "adapter-apply";
    for (const WeightsInput& input : inputs_) report.sources.push_back(input.address);
    report.tensors = std::move(plan.tensors);
    note_bases(&report);
    WeightsOptions how = options_;
    how.thread_count = plan.thread_count;
    how.max_memory_bytes = plan.engine_memory_bytes;
    WeightsJob job;
    job.base = &inputs_.front();
    job.plan = std::move(plan.plan);
    job.recipe = recipe;
    KILTER_TRY(write_weights(std::move(job), target, how, report));
    return report;
  }

 private:
  Status open(const std::string& base) {
    inputs_.reserve(adapters_.size() + 1);  // plans keep pointers
    KILTER_ASSIGN(WeightsInput opened, open_weights(base, options_.open));
    inputs_.push_back(std::move(opened));
    for (const AdapterStrength& adapter : adapters_) {
      KILTER_ASSIGN(Checkpoint checkpoint, open_checkpoint(adapter.address, options_.open));
      KILTER_ASSIGN(auto description, model::read_adapter(checkpoint, options_.open));
      inputs_.push_back({adapter.address, std::move(checkpoint), {}, {}});
      descriptions_.push_back(std::move(description));
    }
    return ok();
  }

  /// Alpha stands in the configuration, which the content digest of the tensors does not cover.
  std::vector<std::string> config_digests() const {
    std::vector<std::string> out;
    for (const auto& description : descriptions_)
      out.push_back(description.config.empty()
                        ? ""
                        : to_hex(blake3(std::as_bytes(std::span(description.config)))));
    return out;
  }

  Status check_configs(const std::vector<std::string>& expected) const {
    const std::vector<std::string> found = config_digests();
    for (std::size_t i = 0; i < found.size(); ++i)
      if (i >= expected.size() || found[i] != expected[i])
        return fail(Error(ErrorCode::kCorrupt,
                          "adapter_config.json is not what it was when the recipe was written")
                        .at_path(adapters_[i].address));
    return ok();
  }

  Result<std::string> make_recipe() const {
    Recipe recipe;
    recipe.verb = "adapter-apply";
    recipe.allow = options_.allow;
    std::vector<double> strengths;
    for (const AdapterStrength& adapter : adapters_) strengths.push_back(adapter.strength);
    recipe.own["strengths"] = strengths;
    recipe.own["configs"] = config_digests();
    KILTER_ASSIGN(recipe.inputs, describe_inputs(inputs_, options_));
    return write_recipe(recipe);
  }

  /// A stated base is a name, and people apply adapters to kin of it: said, not refused.
  void note_bases(WeightsReport* report) const {
    for (std::size_t i = 0; i < descriptions_.size(); ++i) {
      const auto& description = descriptions_[i];
      if (description.base_name.empty() || inputs_.front().address == description.base_name)
        continue;
      report->notes.push_back(adapters_[i].address +
                              " states its base: " + escape_text(description.base_name, 200) +
                              " (" + description.base_name_source + ")");
    }
  }

  const std::vector<AdapterStrength>& adapters_;
  const WeightsOptions& options_;
  std::vector<WeightsInput> inputs_;  // the base, then the adapters
  std::vector<model::AdapterDescription> descriptions_;
};

Status check_strengths(const std::vector<AdapterStrength>& adapters) {
  if (adapters.empty()) return fail(ErrorCode::kInvalidArgument, "no adapter is named");
  for (const AdapterStrength& adapter : adapters)
    if (!std::isfinite(adapter.strength))
      return fail(Error(ErrorCode::kInvalidArgument, "the strength is not a number")
                      .at_path(adapter.address));
  return ok();
}

}  // namespace

Result<WeightsReport> follow_adapter_apply(const Recipe& recipe, const std::string& target,
                                           const WeightsOptions& how) {
  KILTER_TRY(check_own_keys(recipe, {"strengths", "configs"}));
  KILTER_ASSIGN(const std::vector<double> strengths, own_numbers(recipe, "strengths"));
  KILTER_ASSIGN(const std::vector<std::string> configs, own_texts(recipe, "configs"));
  const std::vector<std::string> sources = recipe_addresses(recipe);
  if (sources.size() < 2 || strengths.size() + 1 != sources.size())
    return fail(ErrorCode::kMalformed, "the recipe's inputs do not fit its strengths");
  std::vector<AdapterStrength> adapters;
  for (std::size_t i = 0; i < strengths.size(); ++i)
    adapters.push_back({sources[i + 1], strengths[i]});
  KILTER_TRY(check_strengths(adapters));
  return AdapterApplication(adapters, how).run(sources.front(), target, &configs);
}

}  // namespace ops

Result<WeightsReport> apply_adapters(const std::string& base,
                                     const std::vector<AdapterStrength>& adapters,
                                     const std::string& target, const WeightsOptions& options) {
  KILTER_TRY(ops::check_strengths(adapters));
  return ops::AdapterApplication(adapters, options).run(base, target, nullptr);
}

}  // namespace kilter
