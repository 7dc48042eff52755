#include "formats/torch/assemble.h"

#include <algorithm>
#include <unordered_set>

#include "base/text.h"
#include "base/try.h"
#include "formats/findings.h"
#include "formats/pickle/lift.h"
#include "formats/torch/rebuild.h"

namespace kilter::torch {
namespace {

Finding note(std::string rule, Severity severity, const std::string& path, std::string message,
             std::string evidence = {}) {
  Finding finding;
  finding.rule = std::move(rule);
  finding.severity = severity;
  finding.path = path;
  finding.message = std::move(message);
  finding.evidence = std::move(evidence);
  return finding;
}

/// Takes tensors out and renumbers what points to those that stay.
void drop_tensors(const std::vector<bool>& drop, CheckpointData* data) {
  std::vector<std::int64_t> moved(drop.size(), -1);
  std::vector<TensorInfo> kept;
  std::unordered_set<std::string> lost;
  std::vector<std::string> names(drop.size());
  for (std::size_t i = 0; i < drop.size(); ++i) {
    TensorInfo& tensor = data->index.tensors[i];
    if (drop[i]) {
      lost.insert(tensor.name);
      names[i] = std::move(tensor.name);
      continue;
    }
    moved[i] = static_cast<std::int64_t>(kept.size());
    kept.push_back(std::move(tensor));
  }
  data->index.tensors = std::move(kept);
  const std::size_t node_count = data->state.size();
  for (StateId id = 0; id < node_count; ++id) {
    if (data->state[id].kind != StateKind::kTensor) continue;
    const auto number = static_cast<std::size_t>(data->state[id].integer);
    if (number < moved.size() && moved[number] >= 0) {
      data->state[id].integer = moved[number];
      continue;
    }
    StateNode name;
    name.kind = StateKind::kString;
    if (number < names.size()) name.text = names[number];
    const StateId name_id = data->state.add(std::move(name));
    StateNode& node = data->state[id];
    node = StateNode();
    node.kind = StateKind::kObject;
    node.text = kLostTensor;
    node.items = {name_id};
  }
  std::erase_if(data->ties, [&](const auto& tie) {
    return lost.contains(tie.first) || lost.contains(tie.second);
  });
}

/// Checks one tensor alone, as TensorIndex::validate() does.
Status check_alone(const TensorIndex& index, const TensorInfo& tensor) {
  TensorIndex one;
  one.files = index.files;
  if (tensor.storage < index.storages.size()) one.storages = {index.storages[tensor.storage]};
  one.tensors = {tensor};
  one.tensors[0].storage = 0;
  return one.validate();
}

class ChainedHooks final : public pickle::LiftHooks {
 public:
  ChainedHooks(pickle::LiftHooks* first, pickle::LiftHooks* second)
      : first_(first), second_(second) {}
  Result<std::optional<StateId>> lift(pickle::Lifter& lifter, pickle::NodeId node) override {
    if (first_ != nullptr) {
      KILTER_ASSIGN(const auto made, first_->lift(lifter, node));
      if (made) return made;
    }
    return second_->lift(lifter, node);
  }

 private:
  pickle::LiftHooks* first_;
  pickle::LiftHooks* second_;
};

/// ('module', class, file, source): torch before 1.6 saved a model's source code beside it.
void keep_sources(const pickle::Graph& graph, CheckpointData* data) {
  constexpr std::size_t kSourceBytesMax = 2 << 20;
  std::unordered_set<std::string> seen;
  for (const pickle::Node& node : graph.nodes) {
    const auto module = read_module_id(graph, node);
    if (!module || module->source == pickle::kNoNode) continue;
    const auto text = text_of(graph, module->source);
    if (!text || text->empty() || text->size() > kSourceBytesMax || !is_valid_utf8(*text)) continue;
    const std::string path = "source/" + module->name + ".py";
    if (seen.insert(path).second && seen.size() <= 1000) data->documents.push_back({path, *text});
  }
}

class Settler {
 public:
  Settler(const OpenOptions& options, StorageTable* table, CheckpointData* data)
      : lenient_(options.lenient), table_(*table), data_(*data) {}

  Status run() {
    drop_.assign(data_.index.tensors.size(), false);
    if (!table_.faults.empty()) {
      users_.resize(data_.index.storages.size());
      for (std::size_t i = 0; i < data_.index.tensors.size(); ++i)
        if (data_.index.tensors[i].storage < users_.size())
          users_[data_.index.tensors[i].storage].push_back(i);
    }
    for (const StorageFault& fault : table_.faults) KILTER_TRY(take(fault));
    auto sound = data_.index.validate();
    if (!sound && !lenient_) return sound;
    if (!sound) check_each();
    if (std::find(drop_.begin(), drop_.end(), true) != drop_.end()) drop_tensors(drop_, &data_);
    if (!sound) clear_unsound_storages();
    return ok();
  }

 private:
  Status take(const StorageFault& fault) {
    constexpr std::size_t kNamedMax = 100;
    const auto& users = users_[fault.storage];
    for (std::size_t i = 0; i < users.size(); ++i) {
      const std::string& name = data_.index.tensors[users[i]].name;
      if (fault.unusable && !lenient_)
        return fail(Error(fault.error).at_path(data_.root).at_tensor(name));
      if (fault.unusable) drop_[users[i]] = true;
      if (i < kNamedMax) report(fault, name);
    }
    if (users.empty()) report(fault, "");
    return ok();
  }

  void report(const StorageFault& fault, const std::string& tensor) {
    Error error = fault.error;
    error.tensor = tensor;
    data_.findings.push_back(
        formats::finding_from({fault.rule, std::move(error)}, fault.severity, data_.root));
  }

  void check_each() {
    for (std::size_t i = 0; i < drop_.size(); ++i) {
      if (drop_[i]) continue;
      auto status = check_alone(data_.index, data_.index.tensors[i]);
      if (status) continue;
      drop_[i] = true;
      Error error = std::move(status).error();
      error.tensor = data_.index.tensors[i].name;
      data_.findings.push_back(formats::finding_from({"torch.view-outside", std::move(error)},
                                                     Severity::kMalformed, data_.root));
    }
  }

  /// No tensor uses them any more, but the index must be sound as a whole.
  void clear_unsound_storages() {
    for (StorageInfo& storage : data_.index.storages) {
      TensorIndex one;
      one.files = data_.index.files;
      one.storages = {storage};
      if (one.validate()) continue;
      StorageInfo cleared;
      cleared.name = std::move(storage.name);
      storage = std::move(cleared);
    }
  }

  bool lenient_;
  StorageTable& table_;
  CheckpointData& data_;
  std::vector<bool> drop_;
  std::vector<std::vector<std::size_t>> users_;  // tensors of each storage
};

}  // namespace

pickle::Limits pickle_limits(std::uint64_t header_bytes_max) {
  pickle::Limits limits;
  limits.text_bytes_max = header_bytes_max;
  // A node takes about 200 bytes.
  limits.node_count_max = std::min(limits.node_count_max, header_bytes_max / 64 + 1000);
  return limits;
}

Status lift_graph(pickle::Graph* graph, pickle::NodeId root, const std::string& pickle_path,
                  const OpenOptions& options, StorageTable* table, CheckpointData* data,
                  pickle::LiftHooks* first) {
  keep_sources(*graph, data);
  TorchHooks hooks(graph, root, table, &data->index, options.lenient);
  ChainedHooks chained(first, &hooks);
  auto status = pickle::lift(*graph, root, &chained, data);
  if (!status) return fail(std::move(status).error().at_path(pickle_path));
  for (Error& fault : hooks.faults)
    data->findings.push_back(formats::finding_from({"torch.bad-rebuild", std::move(fault)},
                                                   Severity::kMalformed, pickle_path));
  return ok();
}

Status lift_pickle(Bytes bytes, const std::string& pickle_path, const OpenOptions& options,
                   StorageTable* table, CheckpointData* data) {
  pickle::Graph graph;
  const pickle::Stream stream =
      pickle::run_stream(bytes, 0, pickle_limits(options.header_bytes_max), &graph);
  if (stream.error) return fail(Error(*stream.error).at_path(pickle_path));
  if (stream.result == pickle::kNoNode)
    return fail(Error(ErrorCode::kMalformed, "the pickle yields nothing").at_path(pickle_path));
  if (stream.end_bytes < bytes.size()) {
    Finding rest = note("torch.bytes-after-pickle", Severity::kSuspicious, pickle_path,
                        "bytes follow the end of the pickle",
                        std::to_string(bytes.size() - stream.end_bytes) + " bytes");
    rest.offset_bytes = stream.end_bytes;
    data->findings.push_back(std::move(rest));
  }
  if (data->format_detail.empty())
    data->format_detail = "protocol " + std::to_string(stream.protocol);
  return lift_graph(&graph, stream.result, pickle_path, options, table, data);
}

Status settle(const OpenOptions& options, StorageTable* table, CheckpointData* data) {
  return Settler(options, table, data).run();
}

void merge(CheckpointData more, std::string_view own_key, std::string_view key,
           std::string_view prefix, CheckpointData* data) {
  const auto node_shift = static_cast<StateId>(data->state.size());
  const auto tensor_shift = static_cast<std::int64_t>(data->index.tensors.size());
  const StateId own_root = data->state.root();
  const StateId more_root = more.state.root();
  const auto shift = [node_shift](StateId id) { return id == kNoState ? id : id + node_shift; };
  for (StateId id = 0; id < more.state.size(); ++id) {
    StateNode node = std::move(more.state[id]);
    for (StateId& item : node.items) item = shift(item);
    node.state = shift(node.state);
    node.extra = shift(node.extra);
    if (node.kind == StateKind::kTensor) node.integer += tensor_shift;
    data->state.add(std::move(node));
  }
  StateNode root;
  root.kind = StateKind::kDict;
  for (const auto& [name, value] : {std::pair{own_key, own_root}, {key, shift(more_root)}}) {
    if (value == kNoState) continue;
    StateNode text;
    text.kind = StateKind::kString;
    text.text = name;
    root.items.push_back(data->state.add(std::move(text)));
    root.items.push_back(value);
  }
  data->state.set_root(data->state.add(std::move(root)));
  const auto named = [prefix](const std::string& name) {
    return std::string(prefix).append(".").append(name);
  };
  const auto storage_shift = static_cast<std::uint32_t>(data->index.storages.size());
  std::move(more.index.storages.begin(), more.index.storages.end(),
            std::back_inserter(data->index.storages));
  for (TensorInfo& tensor : more.index.tensors) {
    tensor.name = named(tensor.name);
    tensor.storage += storage_shift;
    data->index.tensors.push_back(std::move(tensor));
  }
  for (auto& [name, first] : more.ties) data->ties.emplace_back(named(name), named(first));
  std::move(more.findings.begin(), more.findings.end(), std::back_inserter(data->findings));
}

}  // namespace kilter::torch
