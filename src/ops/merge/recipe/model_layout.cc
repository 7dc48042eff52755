#include "ops/merge/recipe/model_layout.h"

#include <algorithm>

#include "base/try.h"

namespace kilter::ops {

bool belongs_to_module(std::string_view tensor, std::string_view module) {
  if (module == "default") return true;
  if (module == "text_decoder") module = "language_model";  // as mergekit calls it
  const std::size_t at = tensor.find(std::string(module) + ".");
  return at != std::string_view::npos && (at == 0 || tensor[at - 1] == '.');
}

double ModelLayout::position(std::string_view tensor) const {
  const auto split = split_layer_name(tensor);
  if (!split) return 0;
  const auto stack = std::ranges::find(stacks, split->prefix, &LayerStack::prefix);
  if (stack == stacks.end()) return 0;
  if (stack->layers > 1)
    return static_cast<double>(split->layer) / static_cast<double>(stack->layers - 1);
  return 2 * stack->tensors > tensors.size() ? 1 : 0;  // a model of one layer
}

ModelLayout lay_out_model(const RecipeModel& model, std::string_view module) {
  ModelLayout out;
  out.model = &model;
  std::vector<std::string> names;
  for (std::size_t i = 0; i < model.input.names.size(); ++i) {
    const std::string& name = model.input.names[i];
    if (name.empty() || !belongs_to_module(name, module)) continue;
    out.tensors.push_back(i);
    names.push_back(name);
  }
  out.stacks = find_layer_stacks(names);
  return out;
}

Status lay_out_layers(ModelLayout& layout) {
  const RecipeModel& model = *layout.model;
  auto main = main_layer_stack(layout.stacks, layout.tensors.size(), model.stated_layers());
  if (!main) return fail(std::move(main.error()).at_path(model.input.address));
  layout.main = std::move(*main);
  layout.layers.resize(static_cast<std::size_t>(layout.main.layers));
  for (const std::size_t tensor : layout.tensors) {
    const std::string& name = model.input.names[tensor];
    const auto split = split_layer_name(name);
    if (split && split->prefix == layout.main.prefix)
      layout.layers[static_cast<std::size_t>(split->layer)].push_back(tensor);
    else if (outer_role(name) == TensorRole::kBefore)
      layout.before.push_back(tensor);
    else
      layout.after.push_back(tensor);
  }
  return ok();
}

}  // namespace kilter::ops
