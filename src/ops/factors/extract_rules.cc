#include "ops/factors/extract_rules.h"

#include <algorithm>
#include <array>

#include "base/text.h"

namespace kilter::ops {
namespace {

constexpr std::string_view kWeight = ".weight";

// Last levels of modules that look up rows: transformers, diffusers, OpenCLIP, Meta's Llama.
constexpr std::string_view kEmbeddingNames[] = {
    "embed_tokens",
    "wte",
    "wpe",
    "word_embeddings",
    "position_embeddings",
    "token_type_embeddings",
    "shared",
    "embed_positions",
    "tok_embeddings",
    "token_embedding",
    "position_embedding",
    "positional_embedding",
    "embed_in",
    "embedding",
    "embeddings",
    "relative_attention_bias",
    "word_embedding",
    "token_type_embedding",
};

struct PartRow {
  std::string_view prefix, part;
};
// Source: CompVis/stable-diffusion and Stability-AI/generative-models, as single files hold them.
constexpr PartRow kParts[] = {
    {"model.diffusion_model.", "unet"},
    {"cond_stage_model.transformer.", "text_encoder"},
    {"conditioner.embedders.0.transformer.", "text_encoder"},
};

// Modules of GPT-2's attention and MLP. Source: huggingface/transformers models/gpt2.
constexpr std::string_view kTransposedNames[] = {"c_attn", "c_proj", "c_fc", "q_attn"};

std::string_view last_level(std::string_view path) {
  const auto dot = path.rfind('.');
  return dot == std::string_view::npos ? path : path.substr(dot + 1);
}

std::string_view without_weight(std::string_view name) {
  return name.ends_with(kWeight) ? name.substr(0, name.size() - kWeight.size()) : name;
}

bool fits(const std::string& glob, std::string_view path) {
  return glob_match(glob, path) || glob_match(glob, last_level(path));
}

}  // namespace

LayerKind layer_kind(std::string_view name, const std::vector<std::int64_t>& shape) {
  if (!name.ends_with(kWeight) || shape.size() < 2 || shape.size() > 5) return LayerKind::kOther;
  if (std::ranges::find(shape, 0) != shape.end()) return LayerKind::kOther;
  if (shape.size() > 2) return LayerKind::kConvolution;
  const std::string_view module = last_level(without_weight(name));
  const bool embedding = std::ranges::find(kEmbeddingNames, module) != std::end(kEmbeddingNames);
  return embedding ? LayerKind::kEmbedding : LayerKind::kLinear;
}

ModulePlace module_place(std::string_view tensor_name) {
  const std::string_view path = without_weight(tensor_name);
  for (const PartRow& row : kParts)
    if (path.starts_with(row.prefix))
      return {std::string(row.part), std::string(path.substr(row.prefix.size()))};
  return {"", std::string(path)};
}

bool has_transposed_layers(const WeightsInput& model) {
  for (std::size_t i = 0; i < model.names.size(); ++i) {
    if (!model.names[i].ends_with("attn.c_attn.weight")) continue;
    const auto& shape = model.info(i).shape;
    return shape.size() == 2 && shape[1] / 3 == shape[0];
  }
  return false;
}

bool is_transposed_layer(std::string_view name) {
  const std::string_view module = last_level(without_weight(name));
  return std::ranges::find(kTransposedNames, module) != std::end(kTransposedNames);
}

bool ModuleFilter::wants(std::string_view path) {
  bool wanted = options_.modules.empty();
  for (std::size_t i = 0; i < used_.size(); ++i) {
    if (!fits(options_.modules[i], path)) continue;
    wanted = used_[i] = true;
  }
  return wanted && std::ranges::none_of(options_.exclude,
                                        [&](const std::string& glob) { return fits(glob, path); });
}

Status ModuleFilter::check_used() const {
  for (std::size_t i = 0; i < used_.size(); ++i)
    if (!used_[i])
      return fail(
          Error(ErrorCode::kInvalidArgument, "--modules " + options_.modules[i] + " fits no module")
              .advise("see `kilter inspect --tensors`; names go without .weight"));
  return ok();
}

}  // namespace kilter::ops
