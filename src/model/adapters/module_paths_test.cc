#include "model/adapters/module_paths.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace kilter::model {
namespace {

TEST(ModulePaths, PartsWhatKohyaJoined) {
  for (const std::string path :
       {"down_blocks.0.attentions.1.transformer_blocks.0.attn1.to_out.0",
        "mid_block.resnets.1.conv_shortcut", "text_model.encoder.layers.11.self_attn.q_proj",
        "input_blocks.4.1.transformer_blocks.0.ff.net.0.proj", "double_blocks.3.img_attn.qkv",
        "model.layers.31.mlp.down_proj", "up_blocks.2.upsamplers.0.conv",
        "single_transformer_blocks.7.proj_mlp"}) {
    EXPECT_EQ(part_levels(join_levels(path)), path);
  }
}

/// Pairs from the conversion of SD 1.5's and SDXL's files that diffusers publishes both ways.
TEST(ModulePaths, KnowsBothNamesOfUnetLayers) {
  const std::vector<std::pair<std::string, std::string>> pairs = {
      {"conv_in", "input_blocks.0.0"},
      {"down_blocks.0.resnets.0.conv1", "input_blocks.1.0.in_layers.2"},
      {"down_blocks.0.attentions.1.proj_in", "input_blocks.2.1.proj_in"},
      {"down_blocks.0.downsamplers.0.conv", "input_blocks.3.0.op"},
      {"down_blocks.1.resnets.0.conv_shortcut", "input_blocks.4.0.skip_connection"},
      {"down_blocks.2.attentions.1.transformer_blocks.9.attn2.to_k",
       "input_blocks.8.1.transformer_blocks.9.attn2.to_k"},
      {"mid_block.resnets.0.time_emb_proj", "middle_block.0.emb_layers.1"},
      {"mid_block.attentions.0.proj_out", "middle_block.1.proj_out"},
      {"mid_block.resnets.1.norm2", "middle_block.2.out_layers.0"},
      {"up_blocks.1.resnets.2.conv2", "output_blocks.5.0.out_layers.3"},
      {"up_blocks.1.attentions.0.norm", "output_blocks.3.1.norm"},
      {"up_blocks.1.upsamplers.0.conv", "output_blocks.5.2.conv"},
      {"time_embedding.linear_2", "time_embed.2"},
      {"add_embedding.linear_1", "label_emb.0.0"},
      {"conv_out", "out.2"}};
  for (const auto& [diffusers, original] : pairs) {
    EXPECT_EQ(original_unet_path(diffusers, true), original) << diffusers;
    EXPECT_EQ(diffusers_unet_path(original), diffusers) << original;
  }
  EXPECT_EQ(original_unet_path("up_blocks.0.upsamplers.0.conv", false), "output_blocks.2.1.conv");
  EXPECT_EQ(original_unet_path("up_blocks.0.upsamplers.0.conv", true), "output_blocks.2.2.conv");
  EXPECT_EQ(diffusers_unet_path("output_blocks.2.1.conv"), "up_blocks.0.upsamplers.0.conv");
  EXPECT_FALSE(original_unet_path("down_blocks.x.resnets.0.conv1", false));
  EXPECT_FALSE(original_unet_path("model.layers.0.mlp", false));
  EXPECT_FALSE(diffusers_unet_path("input_blocks.1.7.in_layers.2"));
}

TEST(ModulePaths, KnowsBothNamesOfTextLayers) {
  EXPECT_EQ(clip_text_path("transformer.resblocks.3.mlp.c_fc"), "encoder.layers.3.mlp.fc1");
  EXPECT_EQ(clip_text_path("transformer.resblocks.3.attn.in_proj", 2),
            "encoder.layers.3.self_attn.v_proj");
  EXPECT_EQ(clip_text_path("transformer.resblocks.0.attn.out_proj"),
            "encoder.layers.0.self_attn.out_proj");
  EXPECT_FALSE(clip_text_path("visual.proj"));
}

}  // namespace
}  // namespace kilter::model
