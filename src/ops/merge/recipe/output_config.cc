#include "ops/merge/recipe/output_config.h"

#include <algorithm>

namespace kilter::ops {
namespace {

class OutputConfig {
 public:
  OutputConfig(const std::vector<RecipeModel>& models, const RecipePlan& plan,
               const TokenAlignment* tokens, std::size_t base)
      : models_(models), plan_(plan), tokens_(tokens), base_(base), config_(models[base].config) {}

  std::string run() {
    if (!config_.is_object()) return "";
    state_dtype();
    if (!plan_.layers.empty()) count_layers();
    if (plan_.has_head) untie();
    if (tokens_ != nullptr) count_tokens();
    return dump_json(config_) + "\n";
  }

 private:
  /// The object that holds `key`: the whole, or its text part; null if none does.
  Json* holder(const char* key) {
    if (config_.contains(key)) return &config_;
    for (const char* part : {"text_config", "llm_config", "language_config"})
      if (config_.contains(part) && config_[part].is_object() && config_[part].contains(key))
        return &config_[part];
    return nullptr;
  }

  void state_dtype() {
    std::map<DType, std::uint64_t> bytes;
    for (const PlanOutput& output : plan_.plan.outputs) bytes[output.dtype] += output.bytes;
    const auto most =
        std::ranges::max_element(bytes, {}, [](const auto& row) { return row.second; });
    if (most == bytes.end()) return;
    const std::string name(dtype_row(most->first).torch);
    bool stated = false;
    for (const char* key : {"torch_dtype", "dtype"}) {
      if (!config_.contains(key)) continue;
      config_[key] = name;
      stated = true;
    }
    if (!stated) config_["torch_dtype"] = name;
  }

  void count_layers() {
    const auto old_layers = models_[base_].stated_layers();
    for (const char* key : {"num_hidden_layers", "n_layer", "num_layers"}) {
      Json* const where = holder(key);
      if (where == nullptr) continue;
      (*where)[key] = plan_.layers.size();
      if (old_layers) choose_entries(*where, static_cast<std::size_t>(*old_layers));
      return;
    }
  }

  /// Lists with an entry for each layer ("layer_types"): those of the layers that were taken.
  void choose_entries(Json& where, std::size_t old_layers) {
    for (auto& [key, value] : where.items()) {
      if (!value.is_array() || value.size() != old_layers || old_layers < 2) continue;
      Json chosen = Json::array();
      for (const LayerOrigin& origin : plan_.layers) {
        const Json* list = models_[origin.model].find_config(key.c_str());
        const auto layer = static_cast<std::size_t>(origin.layer);
        if (list == nullptr || !list->is_array() || layer >= list->size()) list = &value;
        if (layer < list->size()) chosen.push_back((*list)[layer]);
      }
      if (chosen.size() == plan_.layers.size()) value = std::move(chosen);
    }
  }

  void untie() {
    constexpr const char* kKey = "tie_word_embeddings";
    if (Json* const where = holder(kKey); where != nullptr) (*where)[kKey] = false;
  }

  void count_tokens() {
    if (Json* const where = holder("vocab_size"); where != nullptr)
      (*where)["vocab_size"] = tokens_->rows;
    if (tokens_->tokenizer == base_) return;
    for (const char* key : {"bos_token_id", "eos_token_id", "pad_token_id"}) {
      const Json* const its = models_[tokens_->tokenizer].find_config(key);
      Json* const where = holder(key);
      if (its != nullptr && where != nullptr) (*where)[key] = *its;
    }
  }

  const std::vector<RecipeModel>& models_;
  const RecipePlan& plan_;
  const TokenAlignment* tokens_;
  std::size_t base_;
  Json config_;
};

}  // namespace

std::map<std::string, std::string> output_texts(const MergeRecipe& recipe,
                                                const std::vector<RecipeModel>& models,
                                                const RecipePlan& plan,
                                                const TokenAlignment* tokens, std::size_t base) {
  std::map<std::string, std::string> out;
  out["mergekit_config.yml"] = recipe.text;
  std::string config = OutputConfig(models, plan, tokens, base).run();
  if (!config.empty()) out["config.json"] = std::move(config);
  return out;
}

}  // namespace kilter::ops
