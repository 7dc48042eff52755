#include "model/layer_part.h"

#include <algorithm>
#include <vector>

#include "base/text.h"

namespace kilter::model {
namespace {

struct LayerPartRow {
  std::string_view within;  ///< of ".levels.behind.the.layer.", in lower case
  std::string_view part;
};

/// The first that fits counts. Sources: the modules' names in transformers (Llama, GPT-2, GPT-NeoX,
/// BERT, T5, BLOOM, Mixtral), Meta's Llama, diffusers and CompVis' Stable Diffusion.
constexpr LayerPartRow kPartRows[] = {
    {"norm", "norm"},
    {".ln_", "norm"},
    {".ln1.", "norm"},
    {".ln2.", "norm"},
    {".lora_", "lora"},
    {".experts.", "experts"},
    {".block_sparse_moe.gate.", "router"},
    {".mlp.gate.", "router"},
    {".qkv", "qkv"},
    {"query_key_value", "qkv"},
    {".wqkv.", "qkv"},
    {".c_attn.", "qkv"},
    {".in_proj", "qkv"},
    {".q_proj.", "q"},
    {".query.", "q"},
    {".to_q.", "q"},
    {".wq.", "q"},
    {".q_lin.", "q"},
    {"attention.q.", "q"},
    {".k_proj.", "k"},
    {".key.", "k"},
    {".to_k.", "k"},
    {".wk.", "k"},
    {".k_lin.", "k"},
    {"attention.k.", "k"},
    {".v_proj.", "v"},
    {".value.", "v"},
    {".to_v.", "v"},
    {".wv.", "v"},
    {".v_lin.", "v"},
    {"attention.v.", "v"},
    {".o_proj.", "o"},
    {".out_proj.", "o"},
    {".to_out.", "o"},
    {".out_lin.", "o"},
    {"attn.c_proj.", "o"},
    {"attn.proj.", "o"},
    {"attention.wo.", "o"},
    {"attention.o.", "o"},
    {"attention.dense.", "o"},
    {"attention.output.", "o"},
    {".gate_up_proj.", "gate_up"},
    {".gate_proj.", "gate"},
    {".w1.", "gate"},
    {".wi_0.", "gate"},
    {".up_proj.", "up"},
    {".w3.", "up"},
    {".c_fc.", "up"},
    {".fc1.", "up"},
    {".lin1.", "up"},
    {".wi.", "up"},
    {".wi_1.", "up"},
    {".intermediate.", "up"},
    {".dense_h_to_4h.", "up"},
    {".ff.net.0.", "up"},
    {".down_proj.", "down"},
    {".w2.", "down"},
    {"mlp.c_proj.", "down"},
    {".fc2.", "down"},
    {".lin2.", "down"},
    {".wo.", "down"},
    {".output.", "down"},
    {".dense_4h_to_h.", "down"},
    {".ff.net.2.", "down"},
    {"embed", "embed"},
    {".wte.", "embed"},
    {".wpe.", "embed"},
    {".shared.", "embed"},
    {".lm_head.", "head"},
    {".score.", "head"},
    {".classifier.", "head"},
    {".emb_layers.", "time"},
    {"time_emb", "time"},
    {"conv", "conv"},
    {".in_layers.", "conv"},
    {".out_layers.", "conv"},
};

bool is_layer_number(std::string_view level) {
  return !level.empty() && level.size() <= 9 &&
         std::ranges::all_of(level, [](char c) { return c >= '0' && c <= '9'; });
}

/// Where the first level that is a number ends; npos if there is none.
std::size_t layer_end(std::string_view name) {
  for (std::size_t at = 0; at < name.size();) {
    const std::size_t dot = std::min(name.find('.', at), name.size());
    if (at > 0 && is_layer_number(name.substr(at, dot - at))) return dot;
    at = dot + 1;
  }
  return std::string_view::npos;
}

}  // namespace

LayerPart layer_part(std::string_view name) {
  LayerPart out{"", "other"};
  const std::size_t end = layer_end(name);
  std::string_view rest = name;
  if (end != std::string_view::npos) {
    out.layer = name.substr(0, end);
    rest = name.substr(std::min(end + 1, name.size()));
  }
  const std::string levels = "." + ascii_lower(rest) + ".";
  for (const LayerPartRow& row : kPartRows) {
    if (levels.find(row.within) == std::string::npos) continue;
    out.part = row.part;
    break;
  }
  return out;
}

}  // namespace kilter::model
