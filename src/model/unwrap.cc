#include "model/unwrap.h"

#include <algorithm>
#include <array>
#include <unordered_map>
#include <unordered_set>

#include "kilter/identity.h"

#include "model/names.h"

namespace kilter::model {
namespace {

using Names = std::span<const std::string_view>;

// Keys under which trainers keep a model's weights. The first list stands for a container
// whatever lies beside it; the second also names ordinary modules, so the state tree must show
// a dict there. Sources: torch and Lightning conventions (`state_dict`), DDP (`module`),
// torch.compile (`_orig_mod`), Whisper (`model_state_dict`), BasicSR (`params`, `params_ema`).
constexpr std::array<std::string_view, 5> kSureContainers = {
    "state_dict", "model_state_dict", "_orig_mod", "model_state", "module_state_dict"};
constexpr std::array<std::string_view, 12> kLikelyContainers = {
    "model",      "module",     "net",  "network", "params",    "weights",
    "checkpoint", "parameters", "ckpt", "student", "generator", "model_weights"};
constexpr std::array<std::string_view, 16> kEma = {"ema",
                                                   "model_ema",
                                                   "ema_model",
                                                   "ema_state_dict",
                                                   "params_ema",
                                                   "state_dict_ema",
                                                   "ema_params",
                                                   "shadow_params",
                                                   "ema_weights",
                                                   "model_ema_state_dict",
                                                   "averaged_model",
                                                   "swa_model",
                                                   "ema_net",
                                                   "ema_model_state_dict",
                                                   "unet_ema",
                                                   "transformer_ema"};
// "deepspeed": what lies beside a trainer's own weights, fp32 masters and all, serves to go on.
constexpr std::array<std::string_view, 14> kOptimizer = {"optimizer",
                                                         "deepspeed",
                                                         "optimizers",
                                                         "optimizer_states",
                                                         "optimizer_state_dict",
                                                         "optim",
                                                         "optim_state",
                                                         "optimizer_state",
                                                         "opt",
                                                         "base_optimizer_state",
                                                         "opt_state",
                                                         "optimizer_state_dicts",
                                                         "optim_state_dict",
                                                         "last_optimizer_state"};
constexpr std::array<std::string_view, 21> kOther = {"lr_scheduler",
                                                     "lr_schedulers",
                                                     "scheduler",
                                                     "lr_scheduler_state_dict",
                                                     "rng_state",
                                                     "rng_states",
                                                     "random_states",
                                                     "cuda_rng_state",
                                                     "torch_rng_state",
                                                     "rng",
                                                     "callbacks",
                                                     "loops",
                                                     "scaler",
                                                     "grad_scaler",
                                                     "amp",
                                                     "scheduler_state_dict",
                                                     "cpu_rng_state",
                                                     "random_rng_state",
                                                     "hyper_parameters",
                                                     "hparams",
                                                     "training_args"};
// Scalars beside a container: the run's state, not the model's.
constexpr std::array<std::string_view, 8> kRunScalars = {
    "epoch", "step", "global_step", "iteration", "iter", "loss", "best_loss", "best_acc"};
// Wrappers that leave a level in the middle of names.
constexpr std::array<std::string_view, 4> kInnerWrappers = {
    "_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.", "_forward_module."};

constexpr std::size_t kUnwrapLevelsMax = 6;

bool contains(Names list, std::string_view level) {
  return std::find(list.begin(), list.end(), level) != list.end();
}

std::string_view first_level(std::string_view name) { return name.substr(0, name.find('.')); }

std::string_view file_stem_of(const CheckpointData& data, const TensorInfo& tensor) {
  if (tensor.storage >= data.index.storages.size()) return {};
  const std::uint32_t file = data.index.storages[tensor.storage].file;
  if (file >= data.index.files.size()) return {};
  std::string_view path = data.index.files[file].path;
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

// In a folder the trainer's own files say what they hold (transformers, accelerate). DeepSpeed
// keeps the weights in its optimizer's files: where they were put together, names tell the parts.
Part part_of_file(std::string_view file, std::string_view tensor) {
  if (file.starts_with("optimizer") || tensor.find("optim_states.") != std::string_view::npos)
    return Part::kOptimizer;
  if (file.starts_with("scheduler") || file.starts_with("rng_state") ||
      file.starts_with("random_states") || file.starts_with("training_args") ||
      file.starts_with("scaler"))
    return Part::kOther;
  return Part::kWeights;
}

// How TensorFlow's optimizers name what they add beside a variable. Sources: keras/src/optimizers
// and tf.compat.v1.train (slots are named after the optimizer or the slot), tf.train.Checkpoint.
constexpr std::array<std::string_view, 12> kTensorflowSlots = {
    "/Adam",   "/Adam_1", "/Momentum", "/RMSProp", "/RMSProp_1", "/Adagrad",
    "/adam_m", "/adam_v", "/slot_v",   "/slot_vr", "/slot_vc",   "/ExponentialMovingAverage"};
constexpr std::array<std::string_view, 5> kTensorflowCounters = {
    "global_step", "beta1_power", "beta2_power", "save_counter/.ATTRIBUTES/VARIABLE_VALUE",
    "step/.ATTRIBUTES/VARIABLE_VALUE"};

Part part_in_tensorflow(std::string_view name) {
  if (contains(kTensorflowCounters, name)) return Part::kOther;
  if (name.starts_with("optimizer/") || name.find("/.OPTIMIZER_SLOT/") != std::string_view::npos)
    return Part::kOptimizer;
  for (const std::string_view slot : kTensorflowSlots) {
    if (!name.ends_with(slot)) continue;
    return slot == "/ExponentialMovingAverage" ? Part::kEma : Part::kOptimizer;
  }
  return Part::kWeights;
}

class Placer {
 public:
  explicit Placer(const CheckpointData& data) : data_(data) {}

  Placement run() {
    const std::size_t count = data_.index.tensors.size();
    out_.parts.assign(count, Part::kWeights);
    out_.names.resize(count);
    taken_.assign(count, 0);
    bare_optimizer_ = data_.state.find_path({"param_groups"}) != kNoState;
    for (std::size_t i = 0; i < count; ++i) place(i);
    keep_module_unless_everywhere();
    restore_where_ambiguous();
    for (std::size_t i = 0; i < count; ++i)
      ++out_.count_of[static_cast<std::size_t>(out_.parts[i])];
    return std::move(out_);
  }

 private:
  // Walks down the levels that are containers; what stops the walk decides the part.
  void place(std::size_t i) {
    const TensorInfo& tensor = data_.index.tensors[i];
    std::string_view rest = tensor.name;
    Part part =
        data_.root_is_folder ? part_of_file(file_stem_of(data_, tensor), rest) : Part::kWeights;
    StateId at = data_.state.root();
    std::string_view all = rest;
    for (std::size_t depth = 0; depth < kUnwrapLevelsMax && part != Part::kOptimizer; ++depth) {
      const std::string_view level = first_level(rest);
      if (level.size() == rest.size() || (depth == 0 && level == plain_level_)) break;
      if (contains(kOptimizer, level)) {
        part = Part::kOptimizer;
      } else if (contains(kOther, level) && depth <= 1) {
        part = Part::kOther;
      } else if (part == Part::kWeights && contains(kEma, level)) {
        part = Part::kEma;
      } else if (!is_container(level, at) || (depth == 0 && names_a_file(level, tensor.name))) {
        if (depth == 0) plain_level_ = level;
        break;
      }
      at = data_.state.find(at, level);
      rest.remove_prefix(level.size() + 1);
    }
    if (part == Part::kWeights && is_optimizer_slot(rest)) part = Part::kOptimizer;
    if (part == Part::kWeights && data_.format == "tensorflow") part = part_in_tensorflow(rest);
    if (part == Part::kWeights && is_run_scalar(tensor)) part = Part::kOther;
    out_.parts[i] = part;
    if (part == Part::kOther) rest = all;
    taken_[i] = all.size() - rest.size();
    out_.names[i] = without_wrappers(rest);
    if (taken_[i] > 0) note_container(all.substr(0, taken_[i]));
  }

  bool is_container(std::string_view level, StateId at) {
    if (contains(kSureContainers, level)) return true;
    if (!contains(kLikelyContainers, level)) return false;
    // DDP's `module.` stands in flat names too; run() takes that back where others lack it.
    if (level == "module") return true;
    const StateId inner = data_.state.find(at, level);
    if (inner == kNoState || inner >= data_.state.size()) return false;
    const StateKind kind = data_.state[inner].kind;
    return kind == StateKind::kDict || kind == StateKind::kObject;
  }

  // A folder's state has a level for each file. `model` is none of the names inside
  // model.safetensors, where they begin with it themselves: then the file's own dict knows the
  // whole name.
  bool names_a_file(std::string_view level, std::string_view name) {
    if (!data_.root_is_folder) return false;
    const auto [at, fresh] = file_levels_.try_emplace(level, false);
    if (fresh) {
      const StateId inner = data_.state.find(data_.state.root(), level);
      at->second = inner != kNoState && data_.state.find(inner, name) != kNoState;
    }
    return at->second;
  }

  // torch.optim's own layout: state.<number>.<slot> beside param_groups.
  bool is_optimizer_slot(std::string_view name) const {
    if (!name.starts_with("state.")) return false;
    name.remove_prefix(6);
    std::size_t digits = 0;
    while (digits < name.size() && name[digits] >= '0' && name[digits] <= '9') ++digits;
    if (digits == 0 || digits >= name.size() || name[digits] != '.') return bare_optimizer_;
    const std::string_view slot = name.substr(digits + 1);
    static constexpr std::array<std::string_view, 14> kSlots = {
        "exp_avg",        "exp_avg_sq",     "max_exp_avg_sq", "step",  "momentum_buffer",
        "square_avg",     "acc_delta",      "grad_avg",       "sum",   "exp_inf",
        "exp_avg_sq_row", "exp_avg_sq_col", "prev",           "state1"};
    return bare_optimizer_ || contains(kSlots, slot);
  }

  bool is_run_scalar(const TensorInfo& tensor) const {
    return tensor.shape.empty() && !data_.state.empty() && contains(kRunScalars, tensor.name);
  }

  std::string_view without_wrappers(std::string_view name) {
    if (!name.starts_with('_') && name.find("._") == std::string_view::npos) return name;
    bool found = false;
    for (const std::string_view wrapper : kInnerWrappers)
      found = found || name.find(wrapper) != std::string_view::npos;
    if (!found) return name;
    std::string& made = out_.owned.emplace_back(name);
    for (const std::string_view wrapper : kInnerWrappers) {
      std::size_t at = 0;
      while ((at = made.find(wrapper, at)) != std::string::npos) {
        if (at == 0 || made[at - 1] == '.')
          made.erase(at, wrapper.size());
        else
          at += wrapper.size();
      }
    }
    return made;
  }

  void note_container(std::string_view prefix) {
    auto& list = out_.containers;
    if (list.size() < 16 && std::find(list.begin(), list.end(), prefix) == list.end())
      list.emplace_back(prefix);
  }

  // A model may have a submodule called `module`: it is a wrapper only if every weight beside it
  // lies inside.
  void keep_module_unless_everywhere() {
    bool some = false, all = true;
    for (std::size_t i = 0; i < out_.parts.size(); ++i) {
      if (out_.parts[i] != Part::kWeights) continue;
      const std::string_view taken = taken_text(i);
      const bool module = taken.starts_with("module.") || taken.find(".module.") != taken.npos;
      some = some || module;
      all = all && module;
    }
    if (!some || all) return;
    for (std::size_t i = 0; i < out_.parts.size(); ++i) {
      const std::string_view taken = taken_text(i);
      std::size_t at = taken.starts_with("module.") ? 0 : taken.find(".module.");
      if (out_.parts[i] != Part::kWeights || at == taken.npos) continue;
      if (at > 0) ++at;
      taken_[i] = at;
      out_.names[i] = without_wrappers(std::string_view(data_.index.tensors[i].name).substr(at));
    }
  }

  std::string_view taken_text(std::size_t i) const {
    return std::string_view(data_.index.tensors[i].name).substr(0, taken_[i]);
  }

  // Two weights must never get one name: then all keep the container's part of theirs.
  void restore_where_ambiguous() {
    for (const Part part : {Part::kWeights, Part::kEma, Part::kOptimizer}) {
      if (!mixed(part) || unique(part)) continue;
      for (std::size_t i = 0; i < out_.parts.size(); ++i) {
        if (out_.parts[i] != part) continue;
        taken_[i] = 0;
        out_.names[i] = data_.index.tensors[i].name;
      }
    }
  }

  bool mixed(Part part) const {
    std::string_view first;
    bool seen = !out_.owned.empty();
    bool any = false;
    for (std::size_t i = 0; i < out_.parts.size() && !seen; ++i) {
      if (out_.parts[i] != part) continue;
      seen = any && taken_text(i) != first;
      first = taken_text(i);
      any = true;
    }
    return seen;
  }

  bool unique(Part part) const {
    std::unordered_set<std::string_view> names;
    names.reserve(out_.parts.size());
    for (std::size_t i = 0; i < out_.parts.size(); ++i)
      if (out_.parts[i] == part && !names.insert(out_.names[i]).second) return false;
    return true;
  }

  const CheckpointData& data_;
  Placement out_;
  std::vector<std::size_t> taken_;  // bytes cut from the front of each name
  bool bare_optimizer_ = false;
  std::unordered_map<std::string_view, bool> file_levels_;
  std::string_view
      plain_level_;  // the last first level that was no container: most names repeat it
};

}  // namespace

std::string_view part_name(Part part) {
  switch (part) {
    case Part::kWeights:
      return "weights";
    case Part::kEma:
      return "ema";
    case Part::kOptimizer:
      return "optimizer";
    case Part::kOther:
      break;
  }
  return "other";
}

Placement place_tensors(const CheckpointData& data) { return Placer(data).run(); }

}  // namespace kilter::model

namespace kilter {

std::vector<std::string> tensor_parts(const CheckpointData& data) {
  const model::Placement placement = model::place_tensors(data);
  std::vector<std::string> parts;
  parts.reserve(placement.parts.size());
  for (const model::Part part : placement.parts) parts.emplace_back(model::part_name(part));
  return parts;
}

std::vector<std::string> unwrapped_names(const CheckpointData& data) {
  const model::Placement placement = model::place_tensors(data);
  return {placement.names.begin(), placement.names.end()};
}

}  // namespace kilter
