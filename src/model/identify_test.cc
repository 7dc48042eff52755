#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "kilter/identity.h"

#include "model/test_samples.h"

namespace kilter::model {
namespace {

using test::Builder;

StateId add_text(StateTree* tree, std::string text) {
  StateNode node;
  node.kind = StateKind::kString;
  node.text = std::move(text);
  return tree->add(std::move(node));
}
StateId add_number(StateTree* tree, double number) {
  StateNode node;
  node.kind = StateKind::kFloat;
  node.number = number;
  return tree->add(std::move(node));
}
StateId add_int(StateTree* tree, std::int64_t number) {
  StateNode node;
  node.kind = StateKind::kInt;
  node.integer = number;
  return tree->add(std::move(node));
}
StateId add_items(StateTree* tree, StateKind kind, std::vector<StateId> items) {
  StateNode node;
  node.kind = kind;
  node.items = std::move(items);
  return tree->add(std::move(node));
}
StateId add_dict(StateTree* tree, std::vector<std::pair<std::string, StateId>> entries) {
  std::vector<StateId> items;
  for (auto& [key, value] : entries) {
    items.push_back(add_text(tree, key));
    items.push_back(value);
  }
  return add_items(tree, StateKind::kDict, std::move(items));
}

std::string stated(const Identity& identity, const std::string& key) {
  for (const auto& entry : identity.stated)
    if (entry.key == key) return entry.value;
  return "not stated";
}

bool says(const Answer& answer, std::string_view part) {
  return std::any_of(answer.evidence.begin(), answer.evidence.end(),
                     [&](const std::string& line) { return line.find(part) != std::string::npos; });
}

CheckpointData llama(const std::string& prefix, int layers) {
  Builder builder;
  for (int i = 0; i < layers; ++i) {
    const std::string layer = fmt::format("{}layers.{}", prefix, i);
    for (const char* name : {"q", "k", "v", "o"})
      builder.tensor(fmt::format("{}.self_attn.{}_proj.weight", layer, name), {64, 64});
    builder.tensor(layer + ".mlp.gate_proj.weight", {128, 64});
    builder.tensor(layer + ".mlp.up_proj.weight", {128, 64});
    builder.tensor(layer + ".mlp.down_proj.weight", {64, 128});
    builder.tensor(layer + ".input_layernorm.weight", {64});
    builder.tensor(layer + ".post_attention_layernorm.weight", {64});
  }
  builder.tensor(prefix + "embed_tokens.weight", {1000, 64});
  builder.tensor(prefix + "norm.weight", {64});
  return std::move(builder.data());
}

// ---- instance ---------------------------------------------------------------------------------

TEST(Instance, IsUnknownForNothing) {
  const Identity identity = identify(CheckpointData{});
  EXPECT_EQ(identity.instance.value, "unknown");
  EXPECT_EQ(identity.architecture.value, "unknown");
  EXPECT_EQ(identity.type.value, "unknown");
  EXPECT_EQ(identity.licence.value, "unknown");
  EXPECT_EQ(identity.parameter_count, 0U);
}

TEST(Instance, IsConfigOnlyWithTheArchitectureItClaims) {
  Builder builder;
  builder.document("config.json", R"({"model_type": "qwen2", "hidden_size": 896,
      "num_hidden_layers": 24, "vocab_size": 151936})");
  builder.document("tokenizer.json", "{}");
  const Identity identity = identify(builder.data());
  EXPECT_EQ(identity.instance.value, "config-only");
  EXPECT_EQ(identity.architecture.value, "qwen2");
  EXPECT_EQ(identity.sizes[0], (std::pair<std::string, std::string>{"width", "896"}));
}

TEST(Instance, IsTokenizerOnly) {
  Builder builder;
  builder.document("tokenizer.json", "{}").document("README.md", "# a card");
  EXPECT_EQ(identify(builder.data()).instance.value, "tokenizer-only");
}

TEST(Instance, IsCardOnly) {
  Builder builder;
  builder.document("README.md", "---\nlicense: mit\n---\n");
  const Identity identity = identify(builder.data());
  EXPECT_EQ(identity.instance.value, "card-only");
  EXPECT_EQ(identity.licence.value, "mit");
}

TEST(Instance, IsStateWithoutTensors) {
  CheckpointData data;
  data.state.set_root(add_dict(&data.state, {{"epoch", add_int(&data.state, 3)}}));
  EXPECT_EQ(identify(data).instance.value, "state");
}

TEST(Instance, IsOptimizerOnly) {
  Builder builder("torch-zip");
  builder.tensor("state.0.exp_avg", {4, 4}).tensor("state.0.step", {});
  EXPECT_EQ(identify(builder.data()).instance.value, "optimizer");
}

TEST(Instance, IsFullTrainingWithWeightsAndOptimizer) {
  CheckpointData data = llama("state_dict.model.", 2);
  Builder extra;
  extra.tensor("optimizer_states.0.state.0.exp_avg", {64, 64});
  data.index.tensors.push_back(extra.data().index.tensors[0]);
  const Identity identity = identify(data);
  EXPECT_EQ(identity.instance.value, "full-training");
  EXPECT_EQ(identity.architecture.value, "llama");
  EXPECT_EQ(identity.by_part.size(), 5U);  // attention, mlp, embeddings, norm, optimizer
}

TEST(Instance, IsFullTrainingWithAnOptimizerThatHasNoSlots) {
  CheckpointData data = llama("", 1);
  StateTree& tree = data.state;
  tree.set_root(add_dict(&tree, {{"optimizer", add_dict(&tree, {})}}));
  EXPECT_EQ(identify(data).instance.value, "full-training");
}

TEST(Instance, IsTensorsWhereNothingIsNamedLikeAParameter) {
  Builder builder("npz");
  builder.tensor("mel_80", {80, 201}).tensor("mel_128", {128, 201});
  EXPECT_EQ(identify(builder.data()).instance.value, "tensors");
}

// ---- type -------------------------------------------------------------------------------------

TEST(Type, IsUnknownWhereNothingShowsIt) {
  EXPECT_EQ(identify(llama("model.", 2)).type.value, "unknown");
}

TEST(Type, IsMergedByMetadata) {
  CheckpointData data = llama("model.", 2);
  data.metadata = {{"sd_merge_recipe", "{\"type\": \"webui\"}"}};
  EXPECT_EQ(identify(data).type.value, "merged");
}

TEST(Type, IsFineTunedByItsCard) {
  Builder builder;
  builder.tensor("a.weight", {2, 2});
  builder.document("README.md", "---\nbase_model: org/base\n---\n");
  const Identity identity = identify(builder.data());
  EXPECT_EQ(identity.type.value, "fine-tuned");
  EXPECT_TRUE(says(identity.type, "org/base"));
}

TEST(Type, CarriesAveragesBesideWeights) {
  Builder builder;
  builder.tensor("model.a.weight", {2, 2}).tensor("model_ema.aweight", {2, 2});
  EXPECT_EQ(identify(builder.data()).type.value, "carries-ema");
}

TEST(Type, IsAveragesAlone) {
  Builder builder;
  builder.tensor("params_ema.conv_first.weight", {2, 2});
  const Identity identity = identify(builder.data());
  EXPECT_EQ(identity.type.value, "ema");
  EXPECT_EQ(identity.instance.value, "weights");
  EXPECT_EQ(identity.parameter_count, 4U);
}

TEST(Type, IsPartialWithALayerMissing) {
  CheckpointData data = llama("model.", 6);
  std::erase_if(data.index.tensors, [](const TensorInfo& tensor) {
    return tensor.name.find("layers.3.") != std::string::npos;
  });
  const Identity identity = identify(data);
  EXPECT_EQ(identity.architecture.value, "llama");
  EXPECT_EQ(identity.type.value, "partial");
  EXPECT_TRUE(says(identity.type, "1 layers are missing: 3"));
}

TEST(Type, IsPartialAsAShardByItself) {
  CheckpointData data = llama("model.", 2);
  data.path = "dir/model-00001-of-00003.safetensors";
  EXPECT_EQ(identify(data).type.value, "partial");
}

TEST(Type, IsPartialWithFewerLayersThanItsConfiguration) {
  CheckpointData data = llama("model.", 4);
  data.documents.push_back({"config.json", R"({"model_type": "llama", "num_hidden_layers": 32})"});
  const Identity identity = identify(data);
  EXPECT_EQ(identity.type.value, "partial");
  EXPECT_TRUE(says(identity.architecture, "num_hidden_layers 32, but the tensors say 4"));
}

// ---- architecture -----------------------------------------------------------------------------

TEST(Architecture, SaysWhereTheConfigurationDisagrees) {
  CheckpointData data = llama("model.", 2);
  const double alone = identify(data).architecture.confidence;
  data.documents.push_back({"config.json", R"({"model_type": "bert"})"});
  const Identity identity = identify(data);
  EXPECT_EQ(identity.architecture.value, "llama");
  EXPECT_LT(identity.architecture.confidence, alone);
  EXPECT_TRUE(says(identity.architecture, "do not bear out"));
}

TEST(Architecture, FollowsTheConfigurationBetweenFamiliesOfOneLayout) {
  CheckpointData data = llama("model.", 2);
  data.documents.push_back({"config.json", R"({"model_type": "mistral"})"});
  EXPECT_EQ(identify(data).architecture.value, "mistral");
}

TEST(Architecture, IsUnknownWhereTwoFamiliesFitEquallyWell) {
  // All keys of StarCoder's signature and all of the first Qwen's in one place.
  Builder builder;
  for (int i = 0; i < 2; ++i) {
    const std::string layer = fmt::format("h.{}", i);
    builder.tensor(layer + ".attn.c_attn.weight", {96, 32});
    builder.tensor(layer + ".attn.c_proj.weight", {32, 32});
    builder.tensor(layer + ".mlp.c_fc.weight", {128, 32});
    builder.tensor(layer + ".mlp.w1.weight", {128, 32});
    builder.tensor(layer + ".mlp.w2.weight", {128, 32});
  }
  builder.tensor("wte.weight", {100, 32})
      .tensor("ln_f.weight", {32})
      .tensor("wpe.weight", {16, 32});
  const Identity identity = identify(builder.data());
  EXPECT_EQ(identity.architecture.value, "unknown");
  EXPECT_TRUE(says(identity.architecture, "equally well"));
}

TEST(Architecture, NamesTheNearestMiss) {
  CheckpointData data = llama("model.", 2);
  std::erase_if(data.index.tensors, [](const TensorInfo& tensor) {
    return tensor.name.find("down_proj") != std::string::npos;
  });
  const Identity identity = identify(data);
  EXPECT_EQ(identity.architecture.value, "unknown");
  EXPECT_TRUE(says(identity.architecture, "lacks layers.{n}.mlp.down_proj.weight"));
}

TEST(Architecture, FindsAModelInsideAnother) {
  CheckpointData data = llama("policy.backbone.model.", 2);
  const Identity identity = identify(data);
  EXPECT_EQ(identity.architecture.value, "llama");
  EXPECT_TRUE(says(identity.architecture, "lies at policy.backbone.model."));
}

// ---- counts -----------------------------------------------------------------------------------

TEST(Counts, TiedTensorsOnce) {
  CheckpointData data = llama("model.", 1);
  const std::uint64_t plain = identify(data).parameter_count;
  TensorInfo head = data.index.tensors[9];
  ASSERT_EQ(head.name, "model.embed_tokens.weight");
  head.name = "lm_head.weight";
  data.index.tensors.push_back(head);
  data.ties.emplace_back("lm_head.weight", "model.embed_tokens.weight");
  const Identity identity = identify(data);
  EXPECT_EQ(identity.parameter_count, plain);
  ASSERT_EQ(identity.shared.size(), 1U);
  EXPECT_EQ(identity.shared[0].kind, "tied");
  EXPECT_EQ(identity.shared[0].tensors,
            (std::vector<std::string>{"model.embed_tokens.weight", "lm_head.weight"}));
}

TEST(Counts, ViewsOfOneTorchStorageAreAGroup) {
  Builder builder("torch-zip");
  builder.tensor("a.weight", {4}).tensor("b.weight", {4});
  CheckpointData& data = builder.data();
  data.index.storages[0].bytes = 16;
  data.index.tensors[1].storage = 0;
  data.index.tensors[1].offset_elements = 4;
  const Identity identity = identify(data);
  ASSERT_EQ(identity.shared.size(), 1U);
  EXPECT_EQ(identity.shared[0].kind, "shared-storage");
  EXPECT_EQ(identity.shared[0].bytes, 16U);
  EXPECT_EQ(identity.parameter_count, 8U);
}

TEST(Counts, BuffersAreNoParameters) {
  Builder builder;
  builder.tensor("bn.weight", {8}).tensor("bn.running_mean", {8});
  builder.tensor("bn.num_batches_tracked", {}, DType::kI64);
  const Identity identity = identify(builder.data());
  EXPECT_EQ(identity.parameter_count, 8U);
  ASSERT_EQ(identity.by_dtype.size(), 2U);
  EXPECT_EQ(identity.by_dtype[0].name, "f16");
}

// ---- stated values and licences ---------------------------------------------------------------

TEST(Stated, ReadsTheRunsState) {
  CheckpointData data = llama("state_dict.model.", 1);
  StateTree& tree = data.state;
  const StateId betas =
      add_items(&tree, StateKind::kTuple, {add_number(&tree, 0.9), add_number(&tree, 0.95)});
  const StateId group = add_dict(&tree, {{"lr", add_number(&tree, 0.0001)}, {"betas", betas}});
  const StateId groups = add_items(&tree, StateKind::kList, {group});
  tree.set_root(
      add_dict(&tree, {{"epoch", add_int(&tree, 7)},
                       {"global_step", add_int(&tree, 1200)},
                       {"pytorch-lightning_version", add_text(&tree, "2.1.0")},
                       {"optimizer", add_dict(&tree, {{"param_groups", groups}})},
                       {"hyper_parameters", add_dict(&tree, {{"batch", add_int(&tree, 16)}})}}));
  const Identity identity = identify(data);
  EXPECT_EQ(stated(identity, "epoch"), "7");
  EXPECT_EQ(stated(identity, "global_step"), "1200");
  EXPECT_EQ(stated(identity, "pytorch-lightning_version"), "2.1.0");
  EXPECT_EQ(stated(identity, "optimizer.param_groups.0.lr"), "0.0001");
  EXPECT_EQ(stated(identity, "optimizer.param_groups.0.betas"), "0.9, 0.95");
  EXPECT_EQ(stated(identity, "hyper_parameters.batch"), "16");
}

TEST(Stated, ReadsTheTrainersLog) {
  Builder builder;
  builder.tensor("a.weight", {2});
  builder.document("trainer_state.json", R"({"global_step": 500, "epoch": 1.5, "best_metric": 0.8,
      "log_history": [{"loss": 2.0, "step": 10}, {"loss": 1.25, "learning_rate": 1e-05}]})");
  const Identity identity = identify(builder.data());
  EXPECT_EQ(stated(identity, "global_step"), "500");
  EXPECT_EQ(stated(identity, "epoch"), "1.5");
  EXPECT_EQ(stated(identity, "log_history.last.loss"), "1.25");
  EXPECT_EQ(stated(identity, "log_history.last.learning_rate"), "1e-05");
}

TEST(Stated, SurvivesACyclicState) {
  CheckpointData data;
  StateTree& tree = data.state;
  const StateId root = add_dict(&tree, {});
  tree[root].items = {add_text(&tree, "self"), root, add_text(&tree, "far"), StateId{1U << 30}};
  tree.set_root(root);
  EXPECT_EQ(identify(data).instance.value, "state");
}

TEST(Stated, EscapesAndBoundsWhatItRepeats) {
  CheckpointData data = llama("model.", 1);
  data.metadata.emplace_back("evil\x1b[2J", std::string(1 << 20, 'x') + "\n");
  const Identity identity = identify(data);
  ASSERT_FALSE(identity.stated.empty());
  for (const auto& entry : identity.stated) {
    EXPECT_LE(entry.value.size(), 2000U);
    EXPECT_EQ(entry.key.find('\x1b'), std::string::npos);
  }
}

TEST(Licence, IsReadFromItsText) {
  Builder builder;
  builder.tensor("a.weight", {2});
  builder.document("LICENSE",
                   "                 Apache License\n           Version 2.0, January 2004\n");
  const Identity identity = identify(builder.data());
  EXPECT_EQ(identity.licence.value, "apache-2.0");
  EXPECT_TRUE(says(identity.licence, "LICENSE"));
}

TEST(Licence, IsReadFromMetadata) {
  CheckpointData data = llama("model.", 1);
  data.metadata = {{"modelspec.license", "CreativeML Open RAIL++-M License"}};
  EXPECT_EQ(identify(data).licence.value, "creativeml open rail++-m license");
}

// ---- hostile input ----------------------------------------------------------------------------

TEST(Hostile, NamesAndShapesDoNoHarm) {
  Builder builder;
  builder.tensor(std::string(100000, '.'), {1});
  builder.tensor("layers.999999999.self_attn.q_proj.weight", {1, 1});
  builder.tensor("layers.99999999999999999999.self_attn.q_proj.weight", {1, 1});
  builder.tensor("\x1b]0;title\x07.weight", {1});
  builder.tensor("", {0});
  builder.tensor("layers.-1.mlp.gate_proj.weight", {0, 0});
  CheckpointData& data = builder.data();
  const std::int64_t huge = INT64_MAX;
  for (int i = 0; i < 3; ++i) {
    TensorInfo broadcast = data.index.tensors[0];
    broadcast.name = fmt::format("big{}.weight", i);
    broadcast.shape = {huge};
    broadcast.strides = {0};
    data.index.tensors.push_back(broadcast);
  }
  const Identity identity = identify(data);
  EXPECT_EQ(identity.architecture.value, "unknown");
  for (const std::string& line : identity.architecture.evidence)
    EXPECT_EQ(line.find('\x1b'), std::string::npos);
}

TEST(Hostile, DocumentsDoNoHarm) {
  Builder builder;
  builder.tensor("a.weight", {2});
  builder.document("config.json", std::string(1000, '[') + std::string(1000, ']'));
  builder.document("trainer_state.json", "{\"log_history\": [[], {}, 3]}");
  builder.document("adapter_config.json", "[1, 2");
  builder.document("README.md", "---\n" + std::string(100000, '-') + "\n&a *a: <<: *a\n");
  builder.document("params.json", R"({"dim": -1, "n_layers": 1e400, "n_heads": "x"})");
  EXPECT_EQ(identify(builder.data()).architecture.value, "unknown");
}

// No clock here (bench/inspect_bench.py has it): work without a budget would meet the test's time
// limit.
TEST(Budget, NamesMadeToCollideStillGetAnAnswer) {
  Builder builder;
  for (int i = 0; i < 20000; ++i)
    builder.tensor(fmt::format("p{}.layers.0.self_attn.q_proj.weight", i), {2, 2});
  for (int i = 0; i < 20000; ++i)
    builder.tensor(fmt::format("{}.layers.0.self_attn.q_proj.weight", i), {2, 2});
  EXPECT_FALSE(identify(builder.data()).by_part.empty());
}

}  // namespace
}  // namespace kilter::model
