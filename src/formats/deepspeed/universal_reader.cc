#include "formats/deepspeed/universal_reader.h"

#include <algorithm>
#include <unordered_map>

#include "base/try.h"
#include "formats/deepspeed/file_names.h"
#include "formats/deepspeed/state_view.h"
#include "formats/deepspeed/tensor_list.h"
#include "formats/merge_data.h"

namespace kilter::deepspeed {
namespace {

constexpr std::string_view kFolder = "zero/";
constexpr std::string_view kSuffix = ".pt";

/// "zero/layer.weight/exp_avg.pt": {"layer.weight", "exp_avg"}.
struct UniversalName {
  std::string file, parameter, slot;
};

std::optional<UniversalName> parse_universal_name(const std::string& name) {
  if (!name.starts_with(kFolder) || !name.ends_with(kSuffix)) return std::nullopt;
  const std::size_t slash = name.rfind('/');
  if (slash < kFolder.size()) return std::nullopt;
  UniversalName out;
  out.file = name;
  out.parameter = name.substr(kFolder.size(), slash - kFolder.size());
  out.slot = name.substr(slash + 1, name.size() - slash - 1 - kSuffix.size());
  return out;
}

class UniversalReader {
 public:
  UniversalReader(const std::vector<std::string>& names, const std::string& folder,
                  RankFiles* opener, CheckpointData* data)
      : folder_(folder), opener_(opener), data_(data), tensors_(data, "") {
    for (const std::string& name : names)
      if (auto parsed = parse_universal_name(name)) parts_.push_back(std::move(*parsed));
    for (CheckpointFile& file : sort_files(names))
      if (file.role == FileRole::kModel || file.role == FileRole::kModelPartition)
        if (model_name_.empty()) model_name_ = file.name;
  }

  Result<StateId> run() {
    KILTER_TRY(read_model());
    std::vector<std::string> names;
    for (const UniversalName& part : parts_) names.push_back(part.file);
    KILTER_ASSIGN(const auto files, opener_->open(names));
    // The weights first, as one list; then what belongs to the optimizer.
    for (std::size_t i = 0; i < files.size(); ++i)
      if (parts_[i].slot == "fp32") KILTER_TRY(add(*files[i], parts_[i], parts_[i].parameter));
    for (std::size_t i = 0; i < files.size(); ++i)
      if (parts_[i].slot != "fp32")
        KILTER_TRY(
            add(*files[i], parts_[i], "optimizer." + parts_[i].parameter + "." + parts_[i].slot));
    return build_state();
  }

 private:
  /// Shapes, and what else a run keeps. There may be no model file.
  Status read_model() {
    if (model_name_.empty()) return ok();
    KILTER_ASSIGN(const auto files, opener_->open({model_name_}));
    model_ = files[0];
    const StateTree& tree = model_->data.state;
    for (const StateId group : items_of(tree, model_->find(model_->root(), "param_shapes")))
      for (const auto& [name, node] : entries_of(tree, group))
        if (auto shape = sizes_of(tree, node)) shapes_.emplace(name, std::move(*shape));
    return ok();
  }

  Status add(const RankFile& file, const UniversalName& part, const std::string& name) {
    // {"param": tensor, "cat_dim": …}, or the tensor itself.
    const StateId wrapped = file.find(file.root(), "param");
    const TensorInfo* tensor = tensor_of(file.data, wrapped != kNoState ? wrapped : file.root());
    StateId value = kNoState;
    if (tensor != nullptr) {
      TensorInfo info = *tensor;
      info.storage = file.storage_of(*tensor);
      KILTER_TRY(restore_shape(part, name, &info));
      value = formats::add_tensor_node(data_->index.tensors.size(), &data_->state);
      KILTER_TRY(tensors_.add(name, std::move(info)));
    } else if (part.slot == "fp32") {
      return fail(Error(ErrorCode::kMalformed, "the file of a parameter holds no tensor")
                      .at_path(folder_ + "/" + file.name)
                      .at_tensor(part.parameter));
    } else {
      value = TreeCopy(file.data.state, &data_->state).copy(file.root(), [&](std::size_t) {
        return data_->state.add({});
      });
    }
    values_.push_back({&part, value});
    return ok();
  }

  Status restore_shape(const UniversalName& part, const std::string& name, TensorInfo* info) const {
    const auto shape = shapes_.find(part.parameter);
    if (shape == shapes_.end() || info->shape.size() != 1 || info->shape == shape->second)
      return ok();
    TensorInfo shaped = *info;
    shaped.shape = shape->second;
    std::uint64_t count = 1;
    bool fits = true;
    for (const std::int64_t size : shaped.shape)
      fits = fits && !__builtin_mul_overflow(count, static_cast<std::uint64_t>(size), &count);
    if (!fits || count != info->element_count() || !info->contiguous())
      return fail(
          Error(ErrorCode::kMalformed, "the file's tensor is not as large as its parameter")
              .at_path(folder_ + "/" + part.file)
              .at_tensor(name)
              .wanted(std::to_string(count) + " elements", std::to_string(info->element_count())));
    shaped.strides = contiguous_strides(shaped.shape);
    *info = std::move(shaped);
    return ok();
  }

  StateId build_state() {
    StateTree& tree = data_->state;
    formats::DictBuilder module(&tree), state(&tree), optimizer(&tree), root(&tree);
    for (const Value& value : values_)
      if (value.part->slot == "fp32") module.add(value.part->parameter, value.node);
    for (std::size_t i = 0; i < values_.size();) {
      const std::string& parameter = values_[i].part->parameter;
      formats::DictBuilder one(&tree);
      bool some = false;
      for (; i < values_.size() && values_[i].part->parameter == parameter; ++i) {
        if (values_[i].part->slot == "fp32") continue;
        one.add(values_[i].part->slot, values_[i].node);
        some = true;
      }
      if (some) state.add(parameter, one.finish());
    }
    optimizer.add("state", state.finish());
    root.add("module", module.finish());
    root.add("optimizer", optimizer.finish());
    if (model_ == nullptr) return root.finish();
    TreeCopy copier(model_->data.state, &tree);
    for (const auto& [key, node] : entries_of(model_->data.state, model_->root()))
      if (key != "module" && key != "optimizer" && !key.starts_with("frozen_param_"))
        root.add(key, copier.copy(node, [&](std::size_t tensor) { return copy_tensor(tensor); }));
    return root.finish();
  }

  StateId copy_tensor(std::size_t number) {
    if (number >= model_->data.index.tensors.size()) return data_->state.add({});
    TensorInfo info = model_->data.index.tensors[number];
    info.storage = model_->storage_of(info);
    const std::string name = info.name;
    return formats::add_tensor_node(tensors_.add_anyhow(name, std::move(info)), &data_->state);
  }

  struct Value {
    const UniversalName* part;
    StateId node;
  };

  const std::string& folder_;
  RankFiles* opener_;
  CheckpointData* data_;
  TensorList tensors_;
  std::vector<UniversalName> parts_;
  std::string model_name_;
  const RankFile* model_ = nullptr;
  std::unordered_map<std::string, std::vector<std::int64_t>> shapes_;
  std::vector<Value> values_;
};

}  // namespace

bool is_universal(const std::vector<std::string>& names) {
  const auto first = std::lower_bound(names.begin(), names.end(), kFolder);
  return std::any_of(first, names.end(), [](const std::string& name) {
    return name.starts_with(kFolder) && name.ends_with("/fp32.pt");
  });
}

Result<StateId> add_universal(const std::vector<std::string>& names, const std::string& folder,
                              RankFiles* opener, CheckpointData* data) {
  return UniversalReader(names, folder, opener, data).run();
}

}  // namespace kilter::deepspeed
