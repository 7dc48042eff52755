#include "ops/weights/block_weights.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kilter::ops {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

/// Names as a single file has them, with so many blocks on either side.
std::vector<std::string> unet_names(int sides) {
  std::vector<std::string> names = {"cond_stage_model.transformer.w", "first_stage_model.decoder.w",
                                    "model.diffusion_model.time_embed.0.weight",
                                    "model.diffusion_model.middle_block.1.w",
                                    "model.diffusion_model.out.2.weight"};
  for (int i = 0; i < sides; ++i) {
    names.push_back(fmt::format("model.diffusion_model.input_blocks.{}.0.weight", i));
    names.push_back(fmt::format("model.diffusion_model.output_blocks.{}.0.weight", i));
  }
  return names;
}

double weight_of(const std::string& text, int sides, const std::string& name) {
  const BlockMap map(unet_names(sides));
  const auto weights = BlockWeights::parse(text, 0.5, map);
  EXPECT_TRUE(weights) << weights.error().text();
  return weights ? weights->at(map.place(name)) : -1;
}

std::string refusal(const std::string& text, int sides) {
  const auto weights = BlockWeights::parse(text, 0.5, BlockMap(unet_names(sides)));
  return weights ? "" : weights.error().text();
}

std::string numbers(int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += fmt::format("{}{}", i == 0 ? "" : ",", i * 0.01);
  return out;
}

TEST(BlockWeights, AListNamesBaseThenTheBlocksInOrder) {
  EXPECT_EQ(weight_of(numbers(26), 12, "cond_stage_model.x"), 0.0);
  EXPECT_EQ(weight_of(numbers(26), 12, "first_stage_model.x"), 0.0);
  EXPECT_EQ(weight_of(numbers(26), 12, "model.diffusion_model.input_blocks.0.0.w"), 0.01);
  EXPECT_EQ(weight_of(numbers(26), 12, "model.diffusion_model.time_embed.0.w"), 0.01);
  EXPECT_EQ(weight_of(numbers(26), 12, "model.diffusion_model.input_blocks.11.0.w"), 0.12);
  EXPECT_EQ(weight_of(numbers(26), 12, "model.diffusion_model.middle_block.0.w"), 0.13);
  EXPECT_EQ(weight_of(numbers(26), 12, "model.diffusion_model.output_blocks.0.0.w"), 0.14);
  EXPECT_EQ(weight_of(numbers(26), 12, "model.diffusion_model.out.2.bias"), 0.25);
  EXPECT_EQ(weight_of(numbers(20), 9, "model.diffusion_model.output_blocks.8.0.w"), 0.19);
}

TEST(BlockWeights, AListWithoutBaseLeavesItTheRatio) {
  EXPECT_EQ(weight_of(numbers(25), 12, "cond_stage_model.x"), 0.5);
  EXPECT_EQ(weight_of(numbers(19), 9, "model.diffusion_model.input_blocks.1.0.w"), 0.01);
}

TEST(BlockWeights, NamesRangesAndPresetsLaterOverEarlier) {
  const BlockMap map(unet_names(2));
  const auto weights = BlockWeights::parse("GRAD_V, BASE=0.1,IN01=9,OUT00-OUT01=7,VAE=3", 0.5, map);
  ASSERT_TRUE(weights) << weights.error().text();
  EXPECT_THAT(weights->values(), ElementsAre(0.1, 3, 1, 9, 0, 7, 7));
  EXPECT_EQ(weight_of("IN=1,M00=2", 12, "model.diffusion_model.output_blocks.3.w"), 0.5);
}

TEST(BlockWeights, CurvesOfTheWebUis) {
  EXPECT_NEAR(weight_of("SMOOTHSTEP", 12, "model.diffusion_model.input_blocks.1.0.w"), 0.005063657,
              1e-9);
  EXPECT_NEAR(weight_of("COSINE", 12, "model.diffusion_model.input_blocks.1.0.w"), 0.995722431,
              1e-9);
  EXPECT_EQ(weight_of("GRAD_A", 12, "model.diffusion_model.middle_block.0.w"), 1);
  EXPECT_EQ(weight_of("WRAP08", 12, "model.diffusion_model.input_blocks.3.0.w"), 1);
  EXPECT_EQ(weight_of("WRAP08", 12, "model.diffusion_model.input_blocks.4.0.w"), 0);
  EXPECT_EQ(weight_of("OUT07", 12, "model.diffusion_model.output_blocks.5.0.w"), 1);
  EXPECT_EQ(weight_of("OUT07", 12, "model.diffusion_model.output_blocks.4.0.w"), 0);
}

TEST(BlockWeights, WhatDoesNotFitIsNamed) {
  EXPECT_THAT(refusal(numbers(24), 12), HasSubstr("24 numbers; this UNet has 25 blocks"));
  EXPECT_THAT(refusal(numbers(26), 9), HasSubstr("20 numbers with BASE"));
  EXPECT_THAT(refusal("IN12=1", 12), HasSubstr("'IN12'"));
  EXPECT_THAT(refusal("IN09-IN03=1", 12), HasSubstr("'IN09-IN03'"));
  EXPECT_THAT(refusal("BASE=much", 12), HasSubstr("no number"));
  EXPECT_THAT(refusal("GRAD_X", 12), HasSubstr("GRAD_V"));
  EXPECT_THAT(refusal("", 12), HasSubstr("no preset"));
  EXPECT_THAT(refusal("ALL_B", 0), HasSubstr("no UNet"));
}

}  // namespace
}  // namespace kilter::ops
