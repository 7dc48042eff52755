#include "model/naming.h"

#include <gtest/gtest.h>

namespace kilter::model {
namespace {

TEST(CommonName, IsOneForAllNamings) {
  constexpr std::string_view kSame[][2] = {
      {"module.model.layers.0.mlp.up_proj.weight", "model.layers.0.mlp.up_proj.weight"},
      {"_orig_mod.layers.0.w", "layers.0.w"},
      {"base_model.model.model.layers.1.self_attn.q_proj.base_layer.weight",
       "model.layers.1.self_attn.q_proj.weight"},
      {"transformer.h.3.attn.c_attn.weight", "h.3.attn.c_attn.weight"},
      {"layers.7.attention.wq.weight", "model.layers.7.self_attn.q_proj.weight"},
      {"layers.7.feed_forward.w2.weight", "model.layers.7.mlp.down_proj.weight"},
      {"layers.7.ffn_norm.weight", "model.layers.7.post_attention_layernorm.weight"},
      {"tok_embeddings.weight", "model.embed_tokens.weight"},
      {"output.weight", "lm_head.weight"},
      {"norm.weight", "model.norm.weight"},
  };
  for (const auto& pair : kSame) EXPECT_EQ(common_name(pair[0]).name, common_name(pair[1]).name);
}

TEST(CommonName, SaysWhichRulesChangedIt) {
  EXPECT_EQ(common_name("lm_head.weight").rules, "");
  EXPECT_EQ(common_name("module.lm_head.weight").rules, "prefix module.");
  EXPECT_EQ(common_name("layers.0.attention.wq.weight").rules, "Meta's names");
  EXPECT_EQ(common_name("module._orig_mod.h.0.w").rules, "prefix module., prefix _orig_mod.");
  EXPECT_EQ(common_name("model.").name, "model.");
}

TEST(FusedName, NamesItsParts) {
  const auto fused = fused_name("layers.0.self_attn.qkv_proj.weight");
  ASSERT_TRUE(fused);
  EXPECT_EQ(fused->scheme, "qkv_proj");
  EXPECT_EQ(fused->parts, (std::vector<std::string>{"layers.0.self_attn.q_proj.weight",
                                                    "layers.0.self_attn.k_proj.weight",
                                                    "layers.0.self_attn.v_proj.weight"}));
  EXPECT_EQ(fused_name("layers.0.mlp.gate_up_proj.weight")->parts.size(), 2U);
  EXPECT_FALSE(fused_name("layers.0.mlp.up_proj.weight"));
}

}  // namespace
}  // namespace kilter::model
