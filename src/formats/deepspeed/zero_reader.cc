#include "formats/deepspeed/zero_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <set>
#include <unordered_map>

#include "base/text.h"
#include "base/try.h"
#include "flow/source.h"
#include "formats/deepspeed/partition_reader.h"
#include "formats/deepspeed/state_view.h"
#include "formats/deepspeed/tensor_list.h"
#include "formats/deepspeed/to_float32.h"
#include "formats/merge_data.h"

namespace kilter::deepspeed {
namespace {

/// A half-precision buffer larger than this keeps its type: a header should not take more.
constexpr std::uint64_t kWidenedBufferBytesMax = 64 << 20;

/// What the model file says about how tensors are put together: it is said otherwise here.
constexpr std::string_view kStructure[] = {
    "module",        "optimizer",   "param_shapes", "frozen_param_shapes", "frozen_param_fragments",
    "shared_params", "buffer_names"};
/// The same of the optimizer's files.
constexpr std::string_view kFlattened[] = {"single_partition_of_fp32_groups",
                                           "fp32_flat_groups",
                                           "base_optimizer_state",
                                           "optimizer_state_dict",
                                           "param_slice_mappings",
                                           "group_paddings",
                                           "param_alignment_paddings"};

class ZeroReader {
 public:
  ZeroReader(const ZeroFiles& names, const std::string& prefix, const std::string& folder,
             io::FileSystem& files, RankFiles* opener, CheckpointData* data)
      : names_(names),
        folder_(folder),
        files_(files),
        opener_(opener),
        data_(data),
        tensors_(data, prefix) {}

  Result<StateId> run() {
    if (names_.model.empty())
      return fail(Error(ErrorCode::kMalformed, "the folder has no file of the model's states")
                      .at_path(folder_)
                      .wanted("mp_rank_00_model_states.pt, or one zero_pp_rank_N_… for each rank",
                              "only the optimizer's files"));
    KILTER_ASSIGN(model_, opener_->open(names_.model));
    KILTER_ASSIGN(const RankList optimizer, opener_->open(names_.optimizer));
    if (!optimizer.empty()) {
      KILTER_ASSIGN(partitions_, read_partitions(first(), optimizer, folder_));
      optimizer_ = optimizer;
    }
    KILTER_TRY(check_model_files());
    collect_module();
    KILTER_TRY(optimizer.empty() ? add_plain_module() : add_consolidated());
    KILTER_TRY(add_experts());
    KILTER_TRY(add_shared());
    note_lost();
    return build_state();
  }

 private:
  const RankFile& first() const { return *model_[0]; }
  std::string path_of(const RankFile& file) const { return folder_ + "/" + file.name; }
  StateId model_entry(std::string_view key) const { return first().find(first().root(), key); }

  Status check_model_files() const {
    if (optimizer_.empty() || partitions_.stage != 3 || model_.size() == optimizer_.size())
      return ok();
    return fail(Error(ErrorCode::kMalformed, "the number of model files is not that of ranks")
                    .at_path(folder_)
                    .wanted(std::to_string(optimizer_.size()), std::to_string(model_.size())));
  }

  void collect_module() {
    for (auto& [name, node] : entries_of(first().data.state, model_entry("module")))
      module_.emplace_back(std::move(name), tensor_of(first().data, node));
  }

  /// A view in the first model file, as a view in the common index.
  TensorInfo in_index(const RankFile& file, const TensorInfo& tensor) const {
    TensorInfo out = tensor;
    out.storage = file.storage_of(tensor);
    return out;
  }

  /// Without ZeRO the model file holds everything as it is.
  Status add_plain_module() {
    for (const auto& [name, tensor] : module_)
      if (tensor != nullptr) KILTER_TRY(tensors_.add(name, in_index(first(), *tensor)));
    return ok();
  }

  /// In the order of the module, so that a model reads as it was built.
  Status add_consolidated() {
    std::unordered_map<std::string_view, std::pair<const Group*, const Group::Parameter*>> trained;
    for (const Group& group : partitions_.groups)
      for (const Group::Parameter& parameter : group.parameters)
        if (!trained.emplace(parameter.name, std::pair(&group, &parameter)).second)
          return fail(Error(ErrorCode::kMalformed, "param_shapes names a parameter twice")
                          .at_path(path_of(first()))
                          .at_tensor(parameter.name));
    std::set<std::string, std::less<>> buffers;
    const StateTree& tree = first().data.state;
    for (const StateId item : items_of(tree, model_entry("buffer_names")))
      if (tree[item].kind == StateKind::kString) buffers.insert(tree[item].text);
    const auto frozen = lookup_of(tree, model_entry("frozen_param_shapes"));
    if (!frozen.empty()) {
      for (const RankFile* file : model_)
        fragments_.push_back(
            lookup_of(file->data.state, file->find(file->root(), "frozen_param_fragments")));
    }
    for (const auto& [name, tensor] : module_) {
      if (const auto found = trained.find(name); found != trained.end()) {
        KILTER_TRY(add_trained(*found->second.first, *found->second.second));
      } else if (const auto shape = frozen.find(name); shape != frozen.end()) {
        KILTER_TRY(add_frozen(name, shape->second));
      } else if (buffers.contains(name) && tensor != nullptr) {
        KILTER_TRY(add_buffer(name, *tensor));
      }
    }
    for (const Group& group : partitions_.groups)  // a pipeline's stage has no module
      for (const Group::Parameter& parameter : group.parameters)
        if (!tensors_.has(parameter.name)) KILTER_TRY(add_trained(group, parameter));
    for (const auto& [name, shape] : entries_of(tree, model_entry("frozen_param_shapes")))
      if (!tensors_.has(name)) KILTER_TRY(add_frozen(name, shape));
    return ok();
  }

  Status add_trained(const Group& group, const Group::Parameter& parameter) {
    return tensors_.add_joined(parameter.name, parameter.shape, group.dtype,
                               group.weights.cut(parameter.place));
  }

  /// Stages 1 and 2 keep a frozen parameter whole; stage 3 a part of it on every rank.
  Status add_frozen(const std::string& name, StateId shape_node) {
    const auto refuse = [&](const RankFile& file, std::string message) {
      return fail(
          Error(ErrorCode::kMalformed, std::move(message)).at_path(path_of(file)).at_tensor(name));
    };
    const auto shape = sizes_of(first().data.state, shape_node);
    if (!shape) return refuse(first(), "frozen_param_shapes holds something that is no shape");
    const auto fragment = [&](std::size_t rank) {
      const auto found = fragments_[rank].find(name);
      return found == fragments_[rank].end() ? nullptr
                                             : tensor_of(model_[rank]->data, found->second);
    };
    const TensorInfo* own = fragment(0);
    if (own == nullptr) return refuse(first(), "a frozen parameter has no values");
    if (partitions_.stage != 3) {
      if (own->shape != *shape) return refuse(first(), "a frozen parameter has another shape");
      return tensors_.add(name, in_index(first(), *own));
    }
    std::vector<FlatPart> parts;
    std::uint64_t left = 1, held = 0;
    for (const std::int64_t size : *shape) {
      if (__builtin_mul_overflow(left, static_cast<std::uint64_t>(size), &left))
        return refuse(first(), "a frozen parameter's size does not fit 64 bits");
    }
    for (std::size_t rank = 0; rank < model_.size(); ++rank) {
      const RankFile* file = model_[rank];
      const TensorInfo* part = fragment(rank);
      if (part == nullptr || part->dtype != own->dtype || !part->contiguous())
        return refuse(*file, "a rank has no sound part of a frozen parameter");
      held += part->element_count();
      const std::uint64_t take = std::min(left, part->element_count());
      if (take > 0) parts.push_back({file->storage_of(*part), part->offset_elements, take});
      left -= take;
    }
    if (left > 0)
      return fail(Error(ErrorCode::kMalformed, "the parts of a frozen parameter are too few")
                      .at_path(folder_)
                      .at_tensor(name)
                      .wanted(fmt::format("{} elements more", left), std::to_string(held)));
    return tensors_.add_joined(name, *shape, own->dtype, parts);
  }

  Status add_buffer(const std::string& name, const TensorInfo& tensor) {
    TensorInfo info = in_index(first(), tensor);
    const std::uint64_t bytes = tensor.bytes();
    if (!becomes_float32(tensor.dtype) || bytes > kWidenedBufferBytesMax - widened_bytes_)
      return tensors_.add(name, std::move(info));
    widened_bytes_ += bytes;
    // A small index of this one tensor, to read it through.
    TensorIndex alone;
    alone.files = {data_->index.files[data_->index.storages[info.storage].file]};
    alone.storages = {data_->index.storages[info.storage]};
    alone.storages[0].file = 0;
    alone.tensors = {info};
    alone.tensors[0].storage = 0;
    KILTER_TRY(alone.validate());
    std::vector<std::byte> content(bytes);
    const auto source = make_file_source(files_, folder_, true, std::move(alone));
    KILTER_TRY(source->read_tensor(0, 0, content));
    auto wide = std::make_shared<const std::vector<std::byte>>(to_float32(tensor.dtype, content));
    StorageInfo storage;
    storage.file = data_->index.storages[info.storage].file;
    storage.coding = StorageCoding::kInline;
    storage.bytes = wide->size();
    storage.inline_bytes = std::move(wide);
    storage.name = name;
    info.storage = static_cast<std::uint32_t>(data_->index.storages.size());
    data_->index.storages.push_back(std::move(storage));
    info.dtype = DType::kF32;
    info.strides = contiguous_strides(info.shape);
    info.offset_elements = 0;
    return tensors_.add(name, std::move(info));
  }

  /// Experts lie in files of their own too, in the model's precision, under the names they have in
  /// the whole model. What the optimizer's files gave already is better.
  Status add_experts() {
    std::vector<std::string> names;
    for (const CheckpointFile& file : names_.experts) names.push_back(file.name);
    KILTER_ASSIGN(const RankList experts, opener_->open(names));
    bool some = false;
    for (const RankFile* file : experts) {
      for (const auto& [name, node] : entries_of(file->data.state, file->root())) {
        const TensorInfo* tensor = tensor_of(file->data, node);
        if (tensor == nullptr || tensors_.has(name)) continue;
        auto status = tensors_.add(name, in_index(*file, *tensor));
        if (!status) return fail(std::move(status).error().at_path(path_of(*file)));
        some = true;
      }
    }
    if (some && !optimizer_.empty())
      note("deepspeed.expert-precision", Severity::kNote, "",
           "experts are read from files of their own, in the precision the model was trained in");
    return ok();
  }

  Status add_shared() {
    const StateTree& tree = first().data.state;
    for (const auto& [alias, node] : entries_of(tree, model_entry("shared_params"))) {
      if (tree[node].kind != StateKind::kString || tensors_.has(alias)) continue;
      if (tensors_.has(tree[node].text)) KILTER_TRY(tensors_.add_alias(alias, tree[node].text));
    }
    return ok();
  }

  void note(std::string rule, Severity severity, const std::string& tensor, std::string message) {
    Finding finding;
    finding.rule = std::move(rule);
    finding.severity = severity;
    finding.path = folder_;
    finding.tensor = tensor;
    finding.message = std::move(message);
    data_->findings.push_back(std::move(finding));
  }

  /// Frozen parameters of stage 1 stand in the module alone; names whose values no file has are
  /// told.
  void note_lost() {
    for (const auto& [name, tensor] : module_) {
      if (tensors_.has(name) || tensor == nullptr) continue;
      if (partitions_.stage != 3 || tensor->element_count() > 0) {
        tensors_.add_anyhow(name, in_index(first(), *tensor));
      } else {
        note("deepspeed.unstated-parameter", Severity::kNote, name,
             "the module names it, but no file says where its values are (a tied weight, usually)");
      }
    }
  }

  // The state.

  StateId copy(const RankFile& file, StateId root, const std::string& name_prefix) {
    auto& copier = copiers_[&file];
    if (!copier) copier = std::make_unique<TreeCopy>(file.data.state, &data_->state);
    return copier->copy(root, [&](std::size_t tensor) {
      if (tensor >= file.data.index.tensors.size()) return data_->state.add({});
      const TensorInfo& info = file.data.index.tensors[tensor];
      std::string name = info.name;
      if (name.starts_with("optimizer_state_dict.")) name = name.substr(21);
      const std::size_t at = tensors_.add_anyhow(name_prefix + name, in_index(file, info));
      return formats::add_tensor_node(at, &data_->state);
    });
  }

  StateId build_state() {
    formats::DictBuilder root(&data_->state), module(&data_->state);
    for (std::size_t i = 0; i < data_->index.tensors.size(); ++i) {
      const std::string& name = data_->index.tensors[i].name;
      if (name.starts_with(tensors_.prefix()) &&
          tensors_.has(name.substr(tensors_.prefix().size())))
        module.add(name.substr(tensors_.prefix().size()),
                   formats::add_tensor_node(i, &data_->state));
    }
    root.add("module", module.finish());
    if (!optimizer_.empty()) {
      root.add("optimizer", optimizer_state());
    } else if (const StateId own = model_entry("optimizer"); own != kNoState) {
      root.add("optimizer", copy(first(), own, ""));
    }
    for (const auto& [key, node] : entries_of(first().data.state, first().root())) {
      if (std::find(std::begin(kStructure), std::end(kStructure), key) == std::end(kStructure))
        root.add(key, copy(first(), node, ""));
    }
    return root.finish();
  }

  StateId optimizer_state() {
    const RankFile& rank = *optimizer_[0];
    formats::DictBuilder state(&data_->state);
    for (std::size_t g = 0; g < partitions_.groups.size(); ++g)
      for (const Group::Parameter& parameter : partitions_.groups[g].parameters)
        state.add(parameter.name, parameter_state(g, parameter));
    formats::DictBuilder optimizer(&data_->state);
    optimizer.add("state", state.finish());
    const StateId zero = zero_state_of(rank);
    for (const std::string_view key : {"base_optimizer_state", "optimizer_state_dict"}) {
      const StateId groups = rank.find(rank.find(zero, key), "param_groups");
      if (groups != kNoState) optimizer.add("param_groups", copy(rank, groups, "optimizer."));
    }
    for (const auto& [key, node] : entries_of(rank.data.state, zero))
      if (std::find(std::begin(kFlattened), std::end(kFlattened), key) == std::end(kFlattened))
        optimizer.add(key, copy(rank, node, "optimizer."));
    return optimizer.finish();
  }

  /// {"exp_avg": tensor, …, "step": value} of one parameter.
  StateId parameter_state(std::size_t g, const Group::Parameter& parameter) {
    formats::DictBuilder out(&data_->state);
    for (const auto& [slot_name, slot] : partitions_.groups[g].slots) {
      if (!slot.values.holds(parameter.place)) continue;
      TensorInfo tensor;
      const std::string name = fmt::format("optimizer.{}.{}", parameter.name, slot_name);
      tensor.dtype = slot.dtype;
      tensor.shape = parameter.shape;
      tensor.strides = contiguous_strides(parameter.shape);
      tensor.storage = add_joined(slot.values.cut(parameter.place), slot.dtype,
                                  tensors_.prefix() + name, &data_->index);
      const std::size_t at = tensors_.add_anyhow(name, std::move(tensor));
      out.add(slot_name, formats::add_tensor_node(at, &data_->state));
    }
    for (const GroupValue& value : partitions_.values_of(g, parameter.place)) {
      const TensorInfo* tensor = tensor_of(value.file->data, value.node);
      if (tensor == nullptr) {
        out.add(value.name, copy(*value.file, value.node, "optimizer."));
        continue;
      }
      // One `step` serves all parameters of a group: each gets its name, all the same bytes.
      const std::string name = fmt::format("optimizer.{}.{}", parameter.name, value.name);
      const std::size_t at = tensors_.add_anyhow(name, in_index(*value.file, *tensor));
      out.add(value.name, formats::add_tensor_node(at, &data_->state));
    }
    return out.finish();
  }

  const ZeroFiles& names_;
  const std::string& folder_;
  io::FileSystem& files_;
  RankFiles* opener_;
  CheckpointData* data_;
  TensorList tensors_;
  RankList model_, optimizer_;
  Partitions partitions_;
  std::vector<std::pair<std::string, const TensorInfo*>> module_;
  std::vector<std::unordered_map<std::string, StateId>>
      fragments_;  // of frozen ones, by model file
  std::unordered_map<const RankFile*, std::unique_ptr<TreeCopy>> copiers_;
  std::uint64_t widened_bytes_ = 0;
};

}  // namespace

Result<StateId> add_zero(const ZeroFiles& names, const std::string& prefix,
                         const std::string& folder, io::FileSystem& files, RankFiles* opener,
                         CheckpointData* data) {
  return ZeroReader(names, prefix, folder, files, opener, data).run();
}

}  // namespace kilter::deepspeed
