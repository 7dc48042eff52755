// On checkpoints that DeepSpeed itself wrote (tests/deepspeed); tests/deepspeed/test_deepspeed.py
// tries more ranks and faults through the program.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kilter/checkpoint.h"

#include "formats/deepspeed/deepspeed_format.h"
#include "formats/deepspeed/file_names.h"
#include "formats/deepspeed/flat_vector.h"
#include "formats/deepspeed/to_float32.h"
#include "formats/format.h"
#include "formats/test_files.h"

namespace kilter::deepspeed {
namespace {

const std::string kData = std::string(KILTER_SOURCE_DIR) + "/tests/deepspeed/data/";

TEST(DeepspeedNames, TellRolesRanksLayersAndExperts) {
  const auto optimizer = parse_file_name("bf16_zero_pp_rank_12_mp_rank_03_optim_states.pt");
  ASSERT_TRUE(optimizer);
  EXPECT_EQ(optimizer->role, FileRole::kOptimizer);
  EXPECT_EQ(optimizer->rank, 12U);
  EXPECT_EQ(optimizer->mp_rank, 3U);
  EXPECT_EQ(parse_file_name("mp_rank_00_model_states.pt")->role, FileRole::kModel);
  EXPECT_EQ(parse_file_name("zero_pp_rank_1_mp_rank_00_model_states.pt")->role,
            FileRole::kModelPartition);
  const auto expert = parse_file_name("layer_2_expert_5_mp_rank_00_model_states.pt");
  ASSERT_TRUE(expert);
  EXPECT_EQ(expert->role, FileRole::kExpert);
  EXPECT_EQ(expert->layer, 2);
  EXPECT_EQ(expert->rank, 5U);
  EXPECT_EQ(parse_file_name("expert_5_mp_rank_00_model_states.pt")->layer, -1);
  EXPECT_EQ(parse_file_name("expp_rank_0_mp_rank_00_optim_states.pt")->role,
            FileRole::kExpertOptimizer);
  for (const char* other : {"model_states.pt", "zero_pp_rank_x_mp_rank_00_optim_states.pt",
                            "layer_00-model_00-model_states.pt", "mp_rank_00_optim_states.pt",
                            "a/mp_rank_00_model_states.pt", "mp_rank_99999999999_model_states.pt"})
    EXPECT_FALSE(parse_file_name(other)) << other;
}

TEST(DeepspeedNames, RanksSortAsNumbers) {
  std::vector<std::string> names;
  for (const int rank : {10, 2, 0, 1})
    names.push_back("zero_pp_rank_" + std::to_string(rank) + "_mp_rank_00_optim_states.pt");
  const auto files = sort_files(names);
  ASSERT_EQ(files.size(), 4U);
  EXPECT_EQ(files[3].rank, 10U);
  EXPECT_EQ(files[2].rank, 2U);
}

TEST(FlatVector, IsCutAcrossItsParts) {
  FlatVector vector;
  vector.append({7, 100, 3});
  vector.append({8, 0, 0});
  vector.append({9, 5, 4});
  EXPECT_EQ(vector.count(), 7U);
  const auto parts = vector.cut(2, 3);
  ASSERT_EQ(parts.size(), 2U);
  EXPECT_EQ(parts[0].storage, 7U);
  EXPECT_EQ(parts[0].offset_elements, 102U);
  EXPECT_EQ(parts[0].count, 1U);
  EXPECT_EQ(parts[1].storage, 9U);
  EXPECT_EQ(parts[1].offset_elements, 5U);
  EXPECT_EQ(parts[1].count, 2U);
  EXPECT_EQ(vector.cut(3, 4).size(), 1U);
  EXPECT_TRUE(vector.cut(7, 0).empty());
}

float widened(DType dtype, std::uint64_t bits) {
  std::vector<std::byte> bytes(dtype_row(dtype).bits / 8U);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(bits >> (8 * i));
  const auto wide = to_float32(dtype, bytes);
  float out = 0;
  std::memcpy(&out, wide.data(), 4);
  return out;
}

TEST(ToFloat32, WidensEveryKindOfNumber) {
  EXPECT_EQ(widened(DType::kF16, 0x3c00), 1.0F);
  EXPECT_EQ(widened(DType::kF16, 0xc500), -5.0F);
  EXPECT_EQ(widened(DType::kF16, 0x0001), std::ldexp(1.0F, -24));
  EXPECT_EQ(widened(DType::kF16, 0x83ff), -std::ldexp(1023.0F, -24));
  EXPECT_EQ(widened(DType::kF16, 0x7c00), std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(widened(DType::kF16, 0x7e00)));
  EXPECT_TRUE(std::signbit(widened(DType::kF16, 0x8000)));
  EXPECT_EQ(widened(DType::kBF16, 0x4049), 3.140625F);
  EXPECT_EQ(widened(DType::kF64, 0x3fb999999999999aULL), 0.1F);
}

class Deepspeed : public ::testing::TestWithParam<const char*> {
 protected:
  static std::vector<std::byte> bytes_of(const Checkpoint& checkpoint, const std::string& name) {
    auto bytes = checkpoint.read_tensor(name);
    EXPECT_TRUE(bytes) << bytes.error().text();
    return bytes ? *bytes : std::vector<std::byte>();
  }
};

TEST_P(Deepspeed, WeightsAreThoseOfItsOwnScript) {
  const std::string stage = GetParam();
  for (const std::string& folder : {stage, stage + "/global_step3"}) {
    const auto opened = open_checkpoint(kData + folder);
    ASSERT_TRUE(opened) << opened.error().text();
    EXPECT_EQ(opened->data().format, "deepspeed");
    const auto wanted = open_checkpoint(kData + "expected/" + stage + ".safetensors");
    ASSERT_TRUE(wanted) << wanted.error().text();
    for (const TensorInfo& tensor : wanted->tensors()) {
      const auto found = opened->data().index.find(tensor.name);
      ASSERT_TRUE(found) << tensor.name;
      EXPECT_EQ(opened->tensors()[*found].dtype, tensor.dtype) << tensor.name;
      EXPECT_EQ(opened->tensors()[*found].shape, tensor.shape) << tensor.name;
      EXPECT_EQ(bytes_of(*opened, tensor.name), bytes_of(*wanted, tensor.name)) << tensor.name;
    }
    const StateId step = opened->data().state.find_path({"optimizer", "state", "mid.bias", "step"});
    ASSERT_NE(step, kNoState);
    EXPECT_EQ(opened->data().state[step].kind, StateKind::kTensor);
  }
}

INSTANTIATE_TEST_SUITE_P(Stages, Deepspeed, ::testing::Values("stage1", "stage2", "stage3"));

TEST(DeepspeedFolder, TiesExpertsAndUniversalsOpen) {
  const auto two = open_checkpoint(kData + "stage2");
  ASSERT_TRUE(two);
  ASSERT_EQ(two->data().ties.size(), 1U);
  EXPECT_EQ(two->data().ties[0].first, "head.weight");
  EXPECT_EQ(two->data().ties[0].second, "embed.weight");
  const auto experts = open_checkpoint(kData + "moe");
  ASSERT_TRUE(experts) << experts.error().text();
  EXPECT_TRUE(experts->read_tensor("moe.deepspeed_moe.experts.deepspeed_experts.3.bias"));
  for (const char* name : {"universal_stage1", "universal_stage3"}) {
    const auto universal = open_checkpoint(kData + name);
    ASSERT_TRUE(universal) << universal.error().text();
    const auto at = universal->data().index.find("optimizer.mid.weight.exp_avg");
    ASSERT_TRUE(at);
    EXPECT_EQ(universal->tensors()[*at].shape, (std::vector<std::int64_t>{7, 6}));
  }
}

TEST(DeepspeedFolder, IsFoundWithinATrainersFolder) {
  formats::test::ScratchFolder folder;
  namespace fs = std::filesystem;
  fs::copy(kData + "stage3", folder.root(), fs::copy_options::recursive);
  folder.put("trainer_state.json", "{}");
  folder.put("config.json", R"({"model_type": "x"})");
  auto opened = open_checkpoint(folder.root());
  ASSERT_TRUE(opened) << opened.error().text();
  EXPECT_EQ(opened->data().format, "folder");
  EXPECT_TRUE(opened->read_tensor("mid.weight"));
  EXPECT_TRUE(opened->read_tensor("optimizer.mid.weight.exp_avg"));
  // With weights of its own, DeepSpeed's get a prefix.
  fs::copy(kData + "expected/stage3.safetensors", folder.path("model.safetensors"));
  opened = open_checkpoint(folder.root());
  ASSERT_TRUE(opened) << opened.error().text();
  const auto own = opened->read_tensor("mid.weight"),
             ours = opened->read_tensor("deepspeed.mid.weight");
  ASSERT_TRUE(own && ours);
  EXPECT_EQ(*own, *ours);
}

}  // namespace
}  // namespace kilter::deepspeed
