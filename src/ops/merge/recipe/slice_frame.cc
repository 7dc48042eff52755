#include "ops/merge/recipe/slice_frame.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "base/try.h"

namespace kilter::ops {
namespace {

class FrameMaker {
 public:
  FrameMaker(const MergeRecipe& recipe, const RecipeSlice& slice,
             const std::vector<ModelName>& models, const std::vector<ModelLayout>& layouts)
      : recipe_(recipe), slice_(slice), models_(models), layouts_(layouts) {}

  Result<SliceFrame> run(const RecipeModule& module) {
    frame_.module = &module;
    frame_.slice = &slice_;
    for (const RecipeSource& source : slice_.sources) KILTER_TRY(add_source(source));
    KILTER_TRY(find_base(module));
    KILTER_TRY(check_count());
    return std::move(frame_);
  }

 private:
  static Error at(const RecipePlace& place, std::string message) {
    return yaml_error(ErrorCode::kInvalidArgument, place.line, place.column, std::move(message));
  }
  std::string method() const { return std::string(merge_method_name(recipe_.method)); }

  std::size_t number_of(const ModelName& model) const {
    return static_cast<std::size_t>(std::ranges::find(models_, model) - models_.begin());
  }

  Status add_source(const RecipeSource& source) {
    SliceInput input;
    input.model = number_of(source.model);
    input.source = &source;
    input.layout = &layouts_[input.model];
    if (source.layers) {
      input.first_layer = source.layers->first;
      frame_.layers = source.layers->end - source.layers->first;
      if (source.layers->end > input.layout->main.layers)
        return fail(at(source.model.place,
                       fmt::format("'{}' has no such layers", escape_text(source.model.name)))
                        .wanted(fmt::format("at most {}, which are {}N", input.layout->main.layers,
                                            input.layout->main.prefix),
                                fmt::format("layers {} to {}", source.layers->first,
                                            source.layers->end - 1)));
    }
    frame_.inputs.push_back(input);
    return ok();
  }

  Status find_base(const RecipeModule& module) {
    const MergeBase needs = merge_needs(recipe_.method).base;
    const std::optional<ModelName>& base = slice_.base ? slice_.base : recipe_.base;
    if (!base) {
      if (needs != MergeBase::kRequired) return ok();
      return fail(at(slice_.place, method() + " wants a base_model, and the recipe names none"));
    }
    const std::size_t model = number_of(*base);
    const auto found = std::ranges::find(frame_.inputs, model, &SliceInput::model);
    if (found == frame_.inputs.end()) {
      if (!module.whole_models) {
        if (needs == MergeBase::kNone) return ok();
        return fail(at(base->place, "the base_model '" + escape_text(base->name) +
                                        "' is none of a slice's sources")
                        .advise("list it among the sources, with the layers that it gives"));
      }
      frame_.inputs.insert(frame_.inputs.begin(), {model, nullptr, &layouts_[model], 0});
      if (needs != MergeBase::kNone) frame_.base = 0;
      return ok();
    }
    if (needs != MergeBase::kNone)
      frame_.base = static_cast<std::size_t>(found - frame_.inputs.begin());
    return ok();
  }

  Status check_count() const {
    const MergeNeeds needs = merge_needs(recipe_.method);
    const std::size_t terms = frame_.inputs.size() - (frame_.base ? 1 : 0);
    if (terms >= needs.terms_min && terms <= needs.terms_max) return ok();
    std::string wanted = needs.terms_min == needs.terms_max
                             ? std::to_string(needs.terms_min)
                             : "at least " + std::to_string(needs.terms_min);
    wanted += needs.base == MergeBase::kNone ? ", a base_model counted" : " beside the base_model";
    return fail(at(slice_.place, method() + " takes another number of models")
                    .wanted(std::move(wanted), std::to_string(terms)));
  }

  const MergeRecipe& recipe_;
  const RecipeSlice& slice_;
  const std::vector<ModelName>& models_;
  const std::vector<ModelLayout>& layouts_;
  SliceFrame frame_;
};

}  // namespace

Result<SliceFrame> frame_slice(const MergeRecipe& recipe, const RecipeModule& module,
                               const RecipeSlice& slice, const std::vector<ModelName>& models,
                               const std::vector<ModelLayout>& layouts) {
  return FrameMaker(recipe, slice, models, layouts).run(module);
}

}  // namespace kilter::ops
