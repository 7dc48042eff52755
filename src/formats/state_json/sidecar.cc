#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "base/try.h"
#include "flow/source.h"
#include "formats/state_json/state_json.h"

namespace kilter::state_json {
namespace {

/// The tensor of the source that an output copies unchanged; null for anything computed.
const TensorInfo* copied_tensor(const PlanOutput& output) {
  if (output.kernel != nullptr || output.inputs.size() != 1) return nullptr;
  const PlanInput& input = output.inputs[0];
  if (input.kind != InputKind::kTensor || input.source == nullptr) return nullptr;
  const auto& tensors = input.source->index().tensors;
  return input.index < tensors.size() ? &tensors[input.index] : nullptr;
}

TensorRecord record_of(const PlanOutput& output, bool raw) {
  TensorRecord record;
  record.name = output.name;
  if (raw) {
    record.dtype = output.dtype;
    record.shape = output.shape;
  }
  if (const TensorInfo* tensor = copied_tensor(output)) {
    record.requires_grad = tensor->requires_grad;
    record.parameter = tensor->parameter;
    if (!tensor->contiguous()) record.source_strides = tensor->strides;
  }
  return record;
}

/// A dictionary whose every entry is a written tensor under its own name, all of them.
bool is_flat(const StateTree& state, const std::vector<std::string>& tensor_names,
             const std::unordered_set<std::string_view>& written) {
  if (state.empty()) return true;
  const StateNode& root = state[state.root()];
  if (root.kind != StateKind::kDict || root.items.size() != 2 * written.size()) return false;
  for (std::size_t i = 0; i + 1 < root.items.size(); i += 2) {
    const StateNode &key = state[root.items[i]], &value = state[root.items[i + 1]];
    if (key.kind != StateKind::kString || value.kind != StateKind::kTensor) return false;
    const auto position = static_cast<std::uint64_t>(value.integer);
    if (position >= tensor_names.size() || tensor_names[position] != key.text) return false;
    if (!written.contains(key.text)) return false;
  }
  return true;
}

}  // namespace

Result<std::string> make_sidecar(const SidecarInput& input) {
  static const StateTree kNoTree;
  static const std::vector<std::string> kNoNames;
  const StateTree& state = input.state == nullptr ? kNoTree : *input.state;
  const std::vector<std::string>& names =
      input.tensor_names == nullptr ? kNoNames : *input.tensor_names;
  const std::unordered_set<std::string_view> raw(input.raw_outputs.begin(),
                                                 input.raw_outputs.end());
  std::vector<TensorRecord> records;
  std::unordered_set<std::string_view> written;
  for (const PlanOutput& output : input.plan->outputs) {
    written.insert(output.name);
    TensorRecord record = record_of(output, raw.contains(output.name));
    if (!record.empty()) records.push_back(std::move(record));
  }
  if (input.aliases != nullptr) {
    for (const auto& [name, stored] : *input.aliases) {
      TensorRecord record;
      record.name = name;
      record.view_of = stored;
      records.push_back(std::move(record));
    }
  }
  if (records.empty() && is_flat(state, names, written)) return std::string();
  return write_state_json(state, names, records);
}

}  // namespace kilter::state_json
