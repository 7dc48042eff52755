// Merges as a recipe in mergekit's YAML says them.
#include "kilter/merge_recipe.h"

#include <algorithm>
#include <filesystem>
#include <memory>

#include "base/try.h"
#include "io/file_system.h"
#include "ops/merge/recipe/output_config.h"
#include "ops/merge/recipe/output_tokenizer.h"
#include "ops/merge/recipe/recipe_plan.h"
#include "ops/weights/blend_kernel.h"
#include "ops/weights/recipe_verbs.h"
#include "ops/weights/weights_output.h"

namespace kilter {
namespace ops {
namespace {

constexpr std::string_view kRecipeMergeVerb = "merge-recipe";

class RecipeMerge {
 public:
  RecipeMerge(MergeRecipe recipe, std::vector<std::string> addresses, const WeightsOptions& options)
      : recipe_(std::move(recipe)), addresses_(std::move(addresses)), options_(options) {}

  Result<WeightsReport> run(const std::string& target) {
    KILTER_TRY(open_models());
    if (recipe_.tokenizer) {
      KILTER_ASSIGN(tokens_,
                    align_tokens(*recipe_.tokenizer, models_, merged_models(), base_model()));
    }
    const TokenAlignment* const tokens = recipe_.tokenizer ? &tokens_ : nullptr;
    KILTER_ASSIGN(RecipePlan plan, plan_recipe({&recipe_, &models_, tokens, options_.allow}));
    const std::size_t pattern = base_model().value_or(0);
    KILTER_ASSIGN(auto texts, tokenizer_texts(recipe_, models_, tokens, pattern));
    texts.merge(output_texts(recipe_, models_, plan, tokens, pattern));
    if (options_.dry_run)
      add_stand_ins(plan);
    else
      KILTER_TRY(add_kernels(plan));
    WeightsReport report;
    report.verb = "merge " + std::string(merge_method_name(recipe_.method));
    report.sources = addresses_;
    report.tensors = plan.tensors;
    KILTER_ASSIGN(std::string recipe, record());
    WeightsJob job;
    job.base = &models_[pattern].input;
    job.recipe = std::move(recipe);
    job.texts = std::move(texts);
    job.plan = std::move(plan.plan);
    job.passes_before = merge_passes(recipe_.method);
    KILTER_TRY(write_weights(std::move(job), target, options_, report));
    return report;
  }

 private:
  Status open_models() {
    const std::vector<ModelName> names = recipe_.models();
    for (std::size_t i = 0; i < names.size(); ++i) {
      KILTER_ASSIGN(RecipeModel model, open_recipe_model(names[i], addresses_[i], options_.open));
      models_.push_back(std::move(model));
    }
    return ok();
  }

  std::size_t number_of(const ModelName& name) const {
    return static_cast<std::size_t>(std::ranges::find(models_, name, &RecipeModel::name) -
                                    models_.begin());
  }
  /// Its config and tokenizer go along, if there is one; else the first model's.
  std::optional<std::size_t> base_model() const {
    if (!recipe_.base) return std::nullopt;
    return number_of(*recipe_.base);
  }

  /// Those whose weights go into the output: tokens may come from others.
  std::vector<std::size_t> merged_models() const {
    std::vector<std::size_t> out;
    const auto add = [&out](std::size_t model) {
      if (std::ranges::find(out, model) == out.end()) out.push_back(model);
    };
    if (const auto base = base_model()) add(*base);
    for (const RecipeModule& module : recipe_.modules)
      for (const RecipeSlice& slice : module.slices)
        for (const RecipeSource& source : slice.sources) add(number_of(source.model));
    return out;
  }

  Status add_kernels(RecipePlan& plan) const {
    MergePasses passes;
    passes.thread_count = options_.thread_count;
    passes.max_memory_bytes = options_.max_memory_bytes;
    passes.context = options_.context;
    KILTER_ASSIGN(auto kernels, make_merge_kernels(plan.merges, passes));
    for (std::size_t i = 0; i < kernels.size(); ++i)
      plan.plan.outputs[plan.merge_outputs[i]].kernel = std::move(kernels[i]);
    return ok();
  }

  /// A dry run reads no whole models for thresholds and angles: the mean of the same inputs, which
  /// is thrown away, says how long it takes to read and compute.
  static void add_stand_ins(RecipePlan& plan) {
    for (std::size_t i = 0; i < plan.merges.size(); ++i) {
      PlanOutput& output = plan.plan.outputs[plan.merge_outputs[i]];
      BlendRules rules;
      rules.tensor = output.name;
      rules.to = output.dtype;
      rules.allow_too_large = rules.allow_not_finite = true;
      const double weight = 1.0 / static_cast<double>(output.inputs.size());
      for (const PlanInput& input : output.inputs) {
        BlendTerm term;
        term.dtype = input.source->index().tensors[input.index].dtype;
        term.weight = weight;
        rules.terms.push_back(std::move(term));
      }
      output.kernel = std::make_shared<BlendKernel>(std::move(rules));
    }
  }

  Result<std::string> record() const {
    Recipe recipe;
    recipe.verb = kRecipeMergeVerb;
    recipe.own["recipe"] = recipe_.text;
    recipe.allow = options_.allow;
    std::vector<WeightsInput> inputs;
    for (const RecipeModel& model : models_) inputs.push_back(model.input);
    KILTER_ASSIGN(recipe.inputs, describe_inputs(inputs, options_));
    return write_recipe(recipe);
  }

  MergeRecipe recipe_;
  std::vector<std::string> addresses_;  // of recipe_.models()
  const WeightsOptions& options_;
  std::vector<RecipeModel> models_;
  TokenAlignment tokens_;
};

}  // namespace

/// The text names the models as it did; the inputs say where they are.
Result<WeightsReport> follow_merge_recipe(const Recipe& recipe, const std::string& target,
                                          const WeightsOptions& how) {
  KILTER_TRY(check_own_keys(recipe, {"recipe"}));
  KILTER_ASSIGN(const std::string text, own_text(recipe, "recipe"));
  KILTER_ASSIGN(MergeRecipe merge, parse_merge_recipe(text));
  if (merge.models().size() != recipe.inputs.size())
    return fail(ErrorCode::kMalformed, "the recipe's inputs are not the models that it names");
  return RecipeMerge(std::move(merge), recipe_addresses(recipe), how).run(target);
}

}  // namespace ops

Result<MergeRecipeText> read_merge_recipe(const std::string& path) {
  constexpr std::uint64_t kBytesMax = 1 << 20;
  KILTER_ASSIGN(std::string text, io::read_text(io::real_file_system(), path, kBytesMax));
  return MergeRecipeText{std::move(text), std::filesystem::path(path).parent_path().string(), path};
}

Result<std::vector<std::string>> merge_recipe_sources(const MergeRecipeText& recipe) {
  auto parsed = ops::parse_merge_recipe(recipe.text);
  if (!parsed) return fail(std::move(parsed.error()).at_path(recipe.path));
  std::vector<std::string> out;
  for (const ops::ModelName& model : parsed->models()) {
    auto address = ops::find_model(model, recipe.folder);
    if (!address) return fail(std::move(address.error()).at_path(recipe.path));
    out.push_back(std::move(*address));
  }
  return out;
}

Result<WeightsReport> merge_recipe(const MergeRecipeText& recipe, const std::string& target,
                                   const WeightsOptions& options) {
  KILTER_ASSIGN(std::vector<std::string> addresses, merge_recipe_sources(recipe));
  KILTER_ASSIGN(ops::MergeRecipe parsed, ops::parse_merge_recipe(recipe.text));
  auto report = ops::RecipeMerge(std::move(parsed), std::move(addresses), options).run(target);
  if (!report) return fail(std::move(report.error()).at_path(recipe.path));
  return report;
}

}  // namespace kilter
