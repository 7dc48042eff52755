#include "train/step_layout.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "base/checked.h"
#include "base/try.h"
#include "formats/format.h"
#include "formats/state_json/state_json.h"
#include "train/state_path.h"

namespace kilter::train {
namespace {

/// Names under which readers of folders expect a model's weights in another form.
constexpr std::string_view kOtherWeights[] = {"pytorch_model", "diffusion_pytorch_model",
                                              "pytorch_lora_weights"};
constexpr std::string_view kAdapterPart = "adapter_model";

/// Keys that may name a file on any system, and nothing else in a folder of a model.
bool is_file_key(std::string_view key) {
  if (key.empty() || key.size() > 64 || key == kRestPart) return false;
  if (std::ranges::find(kOtherWeights, key) != std::end(kOtherWeights)) return false;
  return std::ranges::all_of(key, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
}

std::string tensor_name(const std::vector<std::string>& path) {
  std::string name;
  for (const std::string& key : path) {
    if (!name.empty()) name += '.';
    name += key;
  }
  return name.empty() ? "tensor" : name;
}

/// Two live tensors are one if they are the same view of the same memory.
using Identity =
    std::tuple<const void*, DType, std::vector<std::int64_t>, std::vector<std::int64_t>>;

Identity identity_of(const LiveTensor& tensor) {
  return {tensor.data, tensor.dtype, tensor.shape, tensor.strides};
}

FileLayout literal_file(const std::string& name, const std::string& text) {
  FileLayout file;
  file.name = name;
  file.segments.push_back({SegmentKind::kLiteral, text.size(), text, 0});
  return file;
}

class StepBuilder {
 public:
  StepBuilder(const StateTree& state, const std::vector<LiveTensor>& tensors)
      : tree_(state), tensors_(tensors) {}

  Result<StepLayout> run() {
    const StateNode root = tree_[tree_.root()];
    StateNode rest;
    rest.kind = StateKind::kDict;
    for (std::size_t i = 0; i + 1 < root.items.size(); i += 2) {
      const StateNode& key = tree_[root.items[i]];
      const StateId value = root.items[i + 1];
      if (key.kind == StateKind::kString && is_file_key(key.text) && is_part(value) &&
          !(key.text == kAdapterPart && tree_.find(tree_.root(), "model") != kNoState) &&
          taken_.insert(lower(key.text)).second) {
        KILTER_TRY(add_part(std::string(key.text), value));
      } else {
        rest.items.insert(rest.items.end(), {root.items[i], value});
      }
    }
    KILTER_TRY(add_part(std::string(kRestPart), tree_.add(std::move(rest))));
    return std::move(out_);
  }

 private:
  /// File systems that know no case would take one name for another.
  static std::string lower(std::string text) {
    for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    return text;
  }

  bool is_part(StateId value) const {
    return tree_[value].kind == StateKind::kDict && !tensor_places(tree_, value).empty();
  }

  Status add_part(const std::string& key, StateId root) {
    Plan plan;
    formats::WriteOptions options;
    options.stem = key;
    options.tensor_names.resize(tensors_.size());
    const std::size_t first = out_.outputs.size();
    std::map<Identity, std::string> stored;
    std::set<std::string> names;
    for (const TensorPlace& place : tensor_places(tree_, root)) {
      if (place.tensor >= tensors_.size())
        return fail(ErrorCode::kInvalidArgument, "the state names a tensor that it does not have");
      if (!options.tensor_names[place.tensor].empty()) continue;  // one node at several places
      const LiveTensor& tensor = tensors_[place.tensor];
      auto bytes = live_bytes(tensor);
      if (!bytes) return fail(std::move(bytes).error().at_tensor(path_text(place.path)));
      const std::string name = free_name(tensor_name(place.path), names);
      options.tensor_names[place.tensor] = name;
      const auto [known, fresh] = stored.try_emplace(identity_of(tensor), name);
      if (!fresh && *bytes != 0) {
        options.aliases.emplace_back(name, known->second);
        continue;
      }
      PlanOutput output;
      output.name = name;
      output.dtype = tensor.dtype;
      output.shape = tensor.shape;
      output.bytes = *bytes;
      plan.outputs.push_back(output);
      out_.outputs.push_back(std::move(output));
      out_.tensors.push_back(place.tensor);
    }
    StateTree part = tree_;
    part.set_root(root);
    options.state = &part;
    const auto sink = formats::find_format("safetensors")->make_sink(options);
    KILTER_ASSIGN(auto files, sink->layout(plan));
    const std::string sidecar = key + std::string(state_json::kSuffix);
    if (key == kRestPart && std::ranges::find(files, sidecar, &FileLayout::name) == files.end()) {
      KILTER_ASSIGN(const std::string text,
                    state_json::write_state_json(part, options.tensor_names, {}));
      files.push_back(literal_file(sidecar, text));
    }
    for (FileLayout& file : files) {
      for (Segment& segment : file.segments)
        if (segment.kind == SegmentKind::kOutput) segment.index += first;
      out_.files.push_back(std::move(file));
    }
    return ok();
  }

  static std::string free_name(const std::string& wanted, std::set<std::string>& names) {
    std::string name = wanted;
    for (int i = 2; !names.insert(name).second; ++i) name = wanted + "~" + std::to_string(i);
    return name;
  }

  StateTree tree_;
  const std::vector<LiveTensor>& tensors_;
  StepLayout out_;
  std::set<std::string> taken_;
};

}  // namespace

std::uint64_t StepLayout::tensor_bytes() const {
  std::uint64_t sum = 0;
  for (const PlanOutput& output : outputs) sum += output.bytes;
  return sum;
}

Result<std::uint64_t> live_bytes(const LiveTensor& tensor) {
  // The index' own checks, on a storage that reaches as far as memory does.
  TensorInfo info;
  info.dtype = tensor.dtype;
  info.shape = tensor.shape;
  info.strides = tensor.strides.empty() ? contiguous_strides(tensor.shape) : tensor.strides;
  TensorIndex index;
  index.files = {{"memory", std::uint64_t{1} << 62}};
  StorageInfo storage;
  storage.bytes = storage.stored_bytes = std::uint64_t{1} << 62;
  index.storages.push_back(storage);
  index.tensors.push_back(info);
  if (auto valid = index.validate(); !valid)
    return fail(ErrorCode::kInvalidArgument, valid.error().message);
  const std::uint64_t bytes = info.bytes();
  if (bytes != 0 && tensor.data == nullptr)
    return fail(ErrorCode::kInvalidArgument, "the tensor has elements and no memory");
  return bytes;
}

Result<StepLayout> lay_out_step(const StateTree& state, const std::vector<LiveTensor>& tensors,
                                const std::vector<std::pair<std::string, std::string>>& files) {
  if (state.empty() || state[state.root()].kind != StateKind::kDict)
    return fail(ErrorCode::kInvalidArgument, "a training state is a dictionary");
  KILTER_ASSIGN(StepLayout layout, StepBuilder(state, tensors).run());
  for (const auto& [name, text] : files) {
    if (std::ranges::find(layout.files, name, &FileLayout::name) != layout.files.end())
      return fail(Error(ErrorCode::kInvalidArgument, "the step has a file of this name already")
                      .at_path(name));
    layout.files.push_back(literal_file(name, text));
  }
  return layout;
}

LoadedState joined_state(const CheckpointData& data) {
  LoadedState out{data.state, data.state.root()};
  StateTree& tree = out.tree;
  if (tree.empty()) {
    // Plain tensors, no state beside them: a flat dictionary.
    StateNode root;
    root.kind = StateKind::kDict;
    for (std::size_t i = 0; i < data.index.tensors.size(); ++i) {
      StateNode key, value;
      key.kind = StateKind::kString;
      key.text = data.index.tensors[i].name;
      value.kind = StateKind::kTensor;
      value.integer = static_cast<std::int64_t>(i);
      root.items.push_back(tree.add(std::move(key)));
      root.items.push_back(tree.add(std::move(value)));
    }
    out.root = tree.add(std::move(root));
    tree.set_root(out.root);
    return out;
  }
  const auto has = [&](std::string_view part) {
    return std::ranges::any_of(data.index.files, [&](const FileEntry& file) {
      return file.path == std::string(part) + ".safetensors";
    });
  };
  const auto count = std::ranges::count_if(
      data.index.files, [](const FileEntry& file) { return file.path.ends_with(".safetensors"); });
  const bool joined_parts = has(kRestPart) && count > 1;  // the only part stands for the whole
  const StateId rest = joined_parts ? tree.find(out.root, kRestPart) : kNoState;
  if (rest == kNoState || tree[rest].kind != StateKind::kDict) return out;
  StateNode joined;
  joined.kind = StateKind::kDict;
  const StateNode root = tree[out.root];
  for (std::size_t i = 0; i + 1 < root.items.size(); i += 2) {
    if (root.items[i + 1] == rest) continue;
    // Readers call whatever a folder's weights are "model".
    if (tree[root.items[i]].text == "model" && !has("model") && has(kAdapterPart))
      tree[root.items[i]].text = kAdapterPart;
    joined.items.insert(joined.items.end(), {root.items[i], root.items[i + 1]});
  }
  joined.items.insert(joined.items.end(), tree[rest].items.begin(), tree[rest].items.end());
  out.root = tree.add(std::move(joined));
  tree.set_root(out.root);
  return out;
}

std::optional<Error> damage_of(const CheckpointData& data) {
  for (const Finding& finding : data.findings) {
    if (finding.rule != "folder.unreadable-file" && !finding.rule.starts_with("state-json."))
      continue;
    Error error(ErrorCode::kCorrupt, finding.message);
    error.path = finding.path;
    error.tensor = finding.tensor;
    return error;
  }
  return std::nullopt;
}

}  // namespace kilter::train
