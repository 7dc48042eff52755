#include "model/unwrap.h"

#include <gtest/gtest.h>

#include "kilter/identity.h"

#include "model/test_samples.h"

namespace kilter::model {
namespace {

using Names = std::vector<std::string>;

StateId put_dict(StateTree* tree, std::vector<std::pair<std::string, StateId>> entries) {
  StateNode dict;
  dict.kind = StateKind::kDict;
  for (auto& [key, value] : entries) {
    StateNode text;
    text.kind = StateKind::kString;
    text.text = key;
    dict.items.push_back(tree->add(std::move(text)));
    dict.items.push_back(value);
  }
  return tree->add(std::move(dict));
}

CheckpointData with_names(const Names& names) {
  test::Builder builder("torch-zip");
  for (const std::string& name : names) builder.tensor(name, {2, 2});
  return std::move(builder.data());
}

TEST(Unwrap, LeavesPlainNamesAlone) {
  const Names names = {"model.layers.0.weight", "lm_head.weight", "h.0.attn.bias"};
  const CheckpointData data = with_names(names);
  EXPECT_EQ(unwrapped_names(data), names);
  EXPECT_EQ(tensor_parts(data), Names({"weights", "weights", "weights"}));
}

TEST(Unwrap, TakesContainersOffRepeatedly) {
  const CheckpointData data =
      with_names({"state_dict.module.a.weight", "state_dict.module.b.weight"});
  EXPECT_EQ(unwrapped_names(data), Names({"a.weight", "b.weight"}));
}

TEST(Unwrap, TakesModelOffOnlyWhereTheStateShowsADict) {
  CheckpointData data = with_names({"model.a.weight", "model.b.weight"});
  EXPECT_EQ(unwrapped_names(data), Names({"model.a.weight", "model.b.weight"}));
  StateTree tree;
  const StateId inner = put_dict(&tree, {});
  tree.set_root(put_dict(&tree, {{"model", inner}}));
  data.state = tree;
  EXPECT_EQ(unwrapped_names(data), Names({"a.weight", "b.weight"}));
}

TEST(Unwrap, KeepsAModuleThatIsNotAroundEverything) {
  const Names names = {"module.weight", "head.weight"};
  EXPECT_EQ(unwrapped_names(with_names(names)), names);
}

TEST(Unwrap, NeverGivesTwoTensorsOneName) {
  const Names names = {"state_dict.a", "model_state_dict.a", "b"};
  EXPECT_EQ(unwrapped_names(with_names(names)), names);
}

TEST(Unwrap, RemovesLevelsThatWrappersLeaveInside) {
  const CheckpointData data =
      with_names({"_orig_mod.model._fsdp_wrapped_module.layers.0._orig_mod.w",
                  "_orig_mod.model._fsdp_wrapped_module.norm.w"});
  EXPECT_EQ(unwrapped_names(data), Names({"model.layers.0.w", "model.norm.w"}));
}

TEST(Unwrap, TellsOptimizerAveragesAndRunState) {
  const CheckpointData data = with_names(
      {"model_state_dict.w", "optimizer_state_dict.state.0.exp_avg", "model_ema.w", "rng_state.0",
       "optimizer_states.0.state.1.exp_avg_sq", "state_dict.model_ema.decay"});
  EXPECT_EQ(tensor_parts(data),
            Names({"weights", "optimizer", "ema", "other", "optimizer", "ema"}));
}

TEST(Unwrap, KnowsABareOptimizer) {
  const CheckpointData data = with_names({"state.0.exp_avg", "state.0.step", "state.1.exp_avg"});
  EXPECT_EQ(tensor_parts(data), Names({"optimizer", "optimizer", "optimizer"}));
}

TEST(Unwrap, ReadsTheTrainersFilesInAFolder) {
  CheckpointData data = with_names({"w", "0.exp_avg"});
  data.root_is_folder = true;
  data.index.files = {{"model.safetensors", 8}, {"optimizer.pt", 8}};
  data.index.storages[1].file = 1;
  EXPECT_EQ(tensor_parts(data), Names({"weights", "optimizer"}));
}

TEST(Unwrap, AFileCalledModelIsNoContainerOfNamesThatBeginWithIt) {
  CheckpointData data = with_names({"model.w", "lm_head.w"});
  data.root_is_folder = true;
  StateTree& tree = data.state;
  const auto put = [&](StateKind kind, const std::string& text, std::int64_t integer) {
    StateNode node;
    node.kind = kind;
    node.text = text;
    node.integer = integer;
    return tree.add(std::move(node));
  };
  StateNode file, root;
  file.kind = root.kind = StateKind::kDict;
  for (int i = 0; i < 2; ++i) {
    file.items.push_back(put(StateKind::kString, i == 0 ? "model.w" : "lm_head.w", 0));
    file.items.push_back(put(StateKind::kTensor, "", i));
  }
  const StateId inner = tree.add(std::move(file));
  root.items = {put(StateKind::kString, "model", 0), inner};
  tree.set_root(tree.add(std::move(root)));
  EXPECT_EQ(unwrapped_names(data), Names({"model.w", "lm_head.w"}));
}

TEST(Unwrap, SurvivesHostileNames) {
  Names names = {"",
                 ".",
                 "..",
                 "state_dict.",
                 "module.",
                 "state_dict.state_dict.state_dict.x",
                 std::string(1 << 20, 'a'),
                 std::string(1 << 16, '.'),
                 "a\0b\n\x1b[31m",
                 "state.99999999999999999999.exp_avg"};
  const CheckpointData data = with_names(names);
  EXPECT_EQ(unwrapped_names(data).size(), names.size());
  EXPECT_EQ(tensor_parts(data).size(), names.size());
}

}  // namespace
}  // namespace kilter::model
