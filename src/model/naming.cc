#include "model/naming.h"

#include <algorithm>

namespace kilter::model {
namespace {

/// Sources: torch.nn.parallel.DistributedDataParallel, torch.compile, peft.PeftModel, and the
/// modules that transformers' models keep their decoders in.
constexpr std::string_view kNamingPrefixes[] = {"module.", "_orig_mod.", "base_model.model.",
                                                "model.", "transformer."};
/// Source: peft's LoraLayer keeps what it wraps under this name; torch.compile of a part.
constexpr std::string_view kInfixes[] = {".base_layer.", "._orig_mod.", ".module."};

struct LevelRow {
  std::string_view from, to;
};
/// Sources: llama/model.py of Meta and mistral-inference beside LlamaForCausalLM's modules.
constexpr LevelRow kMetaLevels[] = {
    {".attention.wq.", ".self_attn.q_proj."},     {".attention.wk.", ".self_attn.k_proj."},
    {".attention.wv.", ".self_attn.v_proj."},     {".attention.wo.", ".self_attn.o_proj."},
    {".feed_forward.w1.", ".mlp.gate_proj."},     {".feed_forward.w2.", ".mlp.down_proj."},
    {".feed_forward.w3.", ".mlp.up_proj."},       {".attention_norm.", ".input_layernorm."},
    {".ffn_norm.", ".post_attention_layernorm."},
};
constexpr LevelRow kMetaNames[] = {
    {"tok_embeddings.weight", "embed_tokens.weight"},
    {"output.weight", "lm_head.weight"},
};

struct FusedRow {
  std::string_view level;  ///< with its dots
  std::array<std::string_view, 3> parts;
};
/// Sources: Phi3ForCausalLM (qkv_proj, gate_up_proj), torch.nn.MultiheadAttention and timm.
constexpr FusedRow kFused[] = {
    {".qkv_proj.", {".q_proj.", ".k_proj.", ".v_proj."}},
    {".gate_up_proj.", {".gate_proj.", ".up_proj.", ""}},
    {".in_proj_weight", {".q_proj.weight", ".k_proj.weight", ".v_proj.weight"}},
    {".in_proj_bias", {".q_proj.bias", ".k_proj.bias", ".v_proj.bias"}},
    {".qkv.", {".q.", ".k.", ".v."}},
    {".to_qkv.", {".to_q.", ".to_k.", ".to_v."}},
};

void add_rule(std::string& rules, std::string_view rule) {
  if (rules.find(rule) != std::string::npos) return;
  rules += (rules.empty() ? "" : ", ") + std::string(rule);
}

bool replace_once(std::string& name, std::string_view from, std::string_view to) {
  const std::size_t at = name.find(from);
  if (at == std::string::npos) return false;
  name.replace(at, from.size(), to);
  return true;
}

void strip_prefixes(CommonName& out) {
  for (bool again = true; again;) {
    again = false;
    for (const std::string_view prefix : kNamingPrefixes) {
      if (!out.name.starts_with(prefix) || out.name.size() == prefix.size()) continue;
      out.name.erase(0, prefix.size());
      add_rule(out.rules, "prefix " + std::string(prefix));
      again = true;
    }
  }
}

}  // namespace

CommonName common_name(std::string_view name) {
  CommonName out{std::string(name), ""};
  strip_prefixes(out);
  for (const std::string_view infix : kInfixes)
    while (replace_once(out.name, infix, "."))
      add_rule(out.rules, "without " + std::string(infix.substr(1, infix.size() - 2)));
  for (const LevelRow& row : kMetaLevels)
    if (replace_once(out.name, row.from, row.to)) add_rule(out.rules, "Meta's names");
  for (const LevelRow& row : kMetaNames) {
    if (out.name != row.from) continue;
    out.name = row.to;
    add_rule(out.rules, "Meta's names");
  }
  return out;
}

std::optional<FusedName> fused_name(std::string_view common) {
  for (const FusedRow& row : kFused) {
    const std::size_t at = common.find(row.level);
    if (at == std::string_view::npos) continue;
    std::string_view scheme = row.level.substr(1);
    if (scheme.ends_with('.')) scheme.remove_suffix(1);
    FusedName out{scheme, {}};
    for (const std::string_view part : row.parts) {
      if (part.empty()) continue;
      std::string name(common);
      out.parts.push_back(name.replace(at, row.level.size(), part));
    }
    return out;
  }
  return std::nullopt;
}

}  // namespace kilter::model
