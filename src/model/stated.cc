#include "model/stated.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <unordered_set>

#include "base/text.h"

namespace kilter::model {
namespace {

constexpr std::size_t kStatedMax = 400;
constexpr std::size_t kValueCharsMax = 400;
constexpr std::size_t kEntriesPerDictMax = 200;
constexpr std::size_t kVisitsMax = 4000;
constexpr std::size_t kDepthMax = 4;
constexpr std::size_t kStatedItemsMax = 16;

// Configuration keys worth saying that are no sizes. Source: transformers PretrainedConfig.
constexpr std::array<std::string_view, 14> kConfigKeys = {"torch_dtype",
                                                          "dtype",
                                                          "transformers_version",
                                                          "_name_or_path",
                                                          "architectures",
                                                          "model_type",
                                                          "_class_name",
                                                          "_diffusers_version",
                                                          "rope_theta",
                                                          "rope_scaling.rope_type",
                                                          "tie_word_embeddings",
                                                          "quantization_config.quant_method",
                                                          "quantization_config.bits",
                                                          "prediction_type"};
constexpr std::array<std::string_view, 9> kAdapterKeys = {
    "peft_type",    "base_model_name_or_path", "r",          "lora_alpha",
    "lora_dropout", "target_modules",          "use_rslora", "use_dora",
    "task_type"};
constexpr std::array<std::string_view, 13> kTrainerKeys = {"global_step",
                                                           "epoch",
                                                           "max_steps",
                                                           "num_train_epochs",
                                                           "best_metric",
                                                           "best_model_checkpoint",
                                                           "train_batch_size",
                                                           "total_flos",
                                                           "log_history.last.loss",
                                                           "log_history.last.learning_rate",
                                                           "log_history.last.step",
                                                           "log_history.last.eval_loss",
                                                           "log_history.last.grad_norm"};
constexpr std::array<std::string_view, 7> kCardKeys = {
    "base_model", "base_model_relation", "pipeline_tag", "library_name", "datasets",
    "language",   "model_name"};

// Tensors and names lie below these: no statements of the run.
constexpr std::array<std::string_view, 8> kTensorDicts = {
    "state_dict", "model_state_dict", "model", "module", "ema", "model_ema", "state", "params"};

std::optional<std::string> scalar_text(const StateNode& node) {
  switch (node.kind) {
    case StateKind::kBool:
      return node.integer != 0 ? "true" : "false";
    case StateKind::kInt:
      return std::to_string(node.integer);
    case StateKind::kBigInt:
      return node.text;
    case StateKind::kFloat:
      return fmt::format("{}", node.number);
    case StateKind::kString:
      return node.text;
    default:
      return std::nullopt;
  }
}

class Collector {
 public:
  Collector(const CheckpointData& data, const Papers& papers, Identity* identity)
      : data_(data), papers_(papers), stated_(identity->stated) {}

  void run() {
    walk_state();
    for (const auto& [key, value] : data_.metadata) add(key, value, "metadata");
    take("trainer_state.json", kTrainerKeys);
    take("training_state.json", kTrainerKeys);
    take("adapter_config.json", kAdapterKeys);
    for (const std::string_view file : {"model_index.json", "config.json", "scheduler_config.json"})
      take(file, kConfigKeys);
    for (const std::string_view key : kCardKeys) take_card(key);
  }

 private:
  void add(std::string_view key, std::string_view value, std::string source) {
    if (stated_.size() >= kStatedMax || value.empty()) return;
    stated_.push_back(
        {escape_text(key, 120), escape_text(value, kValueCharsMax), std::move(source)});
  }

  template <std::size_t kCount>
  void take(std::string_view file, const std::array<std::string_view, kCount>& keys) {
    const FlatJson* config = papers_.config(file);
    if (config == nullptr) return;
    for (const std::string_view key : keys)
      if (const auto value = config->find(key)) add(key, *value, escape_text(config->path, 200));
  }

  void take_card(std::string_view key) {
    const auto* values = papers_.card.find(key);
    if (values == nullptr || values->empty()) return;
    std::string text;
    for (std::size_t i = 0; i < values->size() && i < kStatedItemsMax; ++i) {
      text += i > 0 ? ", " : "";
      text += (*values)[i];
    }
    add(key, text, papers_.card_path);
  }

  struct Stop {
    StateId node;
    std::string path;
    std::size_t depth;
  };

  // Breadth first with a mark for each node: shared nodes and cycles are met once.
  void walk_state() {
    if (data_.state.empty()) return;
    std::vector<Stop> queue{{data_.state.root(), "", 0}};
    std::unordered_set<StateId> seen{data_.state.root()};
    for (std::size_t at = 0; at < queue.size() && at < kVisitsMax; ++at) {
      const Stop stop = queue[at];
      for_each_entry(stop.node, [&](std::string_view key, StateId value) {
        visit(stop, key, value, &queue, &seen);
      });
    }
  }

  void visit(const Stop& stop, std::string_view key, StateId id, std::vector<Stop>* queue,
             std::unordered_set<StateId>* seen) {
    // torch's version counters of every module: nothing of the run.
    if (id >= data_.state.size() || key.size() > 200 || key == "_metadata") return;
    const StateNode& node = data_.state[id];
    const std::string path =
        stop.path.empty() ? std::string(key) : stop.path + fmt::format(".{}", key);
    if (const auto text = scalar_text(node)) return add(path, *text, "state");
    if (const auto text = short_list(node)) return add(path, *text, "state");
    const bool inner = node.kind == StateKind::kDict || node.kind == StateKind::kObject ||
                       node.kind == StateKind::kList;
    const bool tensors =
        std::find(kTensorDicts.begin(), kTensorDicts.end(), key) != kTensorDicts.end();
    if (!inner || tensors || stop.depth + 1 >= kDepthMax || queue->size() >= kVisitsMax) return;
    if (seen->insert(id).second) queue->push_back({id, path, stop.depth + 1});
  }

  // betas of an optimizer, _last_lr of a scheduler.
  std::optional<std::string> short_list(const StateNode& node) const {
    if (node.kind != StateKind::kTuple && node.kind != StateKind::kList) return std::nullopt;
    if (node.items.empty() || node.items.size() > kStatedItemsMax) return std::nullopt;
    std::string text;
    for (const StateId item : node.items) {
      if (item >= data_.state.size()) return std::nullopt;
      const auto part = scalar_text(data_.state[item]);
      if (!part) return std::nullopt;
      text += text.empty() ? "" : ", ";
      text += *part;
    }
    return text;
  }

  template <typename Use>
  void for_each_entry(StateId id, Use use) const {
    const StateNode& node = data_.state[id];
    std::size_t left = kEntriesPerDictMax;
    if (node.kind == StateKind::kList) {
      for (std::size_t i = 0; i < node.items.size() && left-- > 0; ++i)
        use(std::to_string(i), node.items[i]);
      return;
    }
    if (node.kind == StateKind::kDict) return pairs(node, left, use);
    if (node.kind != StateKind::kObject) return;
    for (const StateId part : {node.extra, node.state})
      if (part < data_.state.size() && data_.state[part].kind == StateKind::kDict)
        pairs(data_.state[part], left, use);
  }

  template <typename Use>
  void pairs(const StateNode& node, std::size_t left, Use use) const {
    for (std::size_t i = 0; i + 1 < node.items.size() && left-- > 0; i += 2) {
      if (node.items[i] >= data_.state.size()) continue;
      if (const auto key = scalar_text(data_.state[node.items[i]])) use(*key, node.items[i + 1]);
    }
  }

  const CheckpointData& data_;
  const Papers& papers_;
  std::vector<Identity::Stated>& stated_;
};

}  // namespace

void collect_stated(const CheckpointData& data, const Papers& papers, Identity* identity) {
  Collector(data, papers, identity).run();
}

}  // namespace kilter::model
