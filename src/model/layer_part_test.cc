#include "model/layer_part.h"

#include <gtest/gtest.h>

namespace kilter::model {
namespace {

struct Case {
  std::string_view name, layer, part;
};

TEST(LayerPart, KnowsTheFamiliesNames) {
  constexpr Case kCases[] = {
      {"model.layers.11.self_attn.q_proj.weight", "model.layers.11", "q"},
      {"model.layers.11.self_attn.o_proj.weight", "model.layers.11", "o"},
      {"model.layers.0.mlp.gate_proj.weight", "model.layers.0", "gate"},
      {"model.layers.0.mlp.down_proj.weight", "model.layers.0", "down"},
      {"model.layers.0.input_layernorm.weight", "model.layers.0", "norm"},
      {"model.layers.3.self_attn.q_norm.weight", "model.layers.3", "norm"},
      {"model.layers.3.self_attn.qkv_proj.weight", "model.layers.3", "qkv"},
      {"model.embed_tokens.weight", "", "embed"},
      {"lm_head.weight", "", "head"},
      {"layers.2.attention.wq.weight", "layers.2", "q"},
      {"layers.2.attention.wo.weight", "layers.2", "o"},
      {"layers.2.feed_forward.w1.weight", "layers.2", "gate"},
      {"layers.2.feed_forward.w2.weight", "layers.2", "down"},
      {"h.5.attn.c_attn.bias", "h.5", "qkv"},
      {"h.5.attn.c_proj.weight", "h.5", "o"},
      {"h.5.mlp.c_proj.weight", "h.5", "down"},
      {"h.5.ln_2.weight", "h.5", "norm"},
      {"wte.weight", "", "embed"},
      {"encoder.layer.7.attention.self.query.weight", "encoder.layer.7", "q"},
      {"encoder.layer.7.attention.output.dense.weight", "encoder.layer.7", "o"},
      {"encoder.layer.7.intermediate.dense.weight", "encoder.layer.7", "up"},
      {"encoder.layer.7.output.dense.weight", "encoder.layer.7", "down"},
      {"encoder.layer.7.output.LayerNorm.weight", "encoder.layer.7", "norm"},
      {"down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight", "down_blocks.1", "k"},
      {"model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn1.to_out.0.weight",
       "model.diffusion_model.input_blocks.4", "o"},
      {"model.layers.1.block_sparse_moe.experts.3.w1.weight", "model.layers.1", "experts"},
  };
  for (const Case& one : kCases) {
    const LayerPart got = layer_part(one.name);
    EXPECT_EQ(got.layer, one.layer) << one.name;
    EXPECT_EQ(got.part, one.part) << one.name;
  }
}

TEST(LayerPart, TakesAnyName) {
  for (const std::string_view name : {"", ".", "0", "a.0", "a..b", "a.1234567890.b", "7.weight"})
    EXPECT_EQ(layer_part(name).part, "other") << name;
  EXPECT_EQ(layer_part("a.0").layer, "a.0");
  EXPECT_EQ(layer_part("a.1234567890.b").layer, "");
}

}  // namespace
}  // namespace kilter::model
