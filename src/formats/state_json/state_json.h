// STEM.state.json: the part of a checkpoint that is not tensors. Format: spec/state-json.md.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kilter/checkpoint.h"
#include "kilter/state_tree.h"

#include "flow/plan.h"
#include "io/file_system.h"

namespace kilter::state_json {

inline constexpr std::string_view kSuffix = ".state.json";
inline constexpr std::uint64_t kTextBytesMax = 256ULL << 20;

/// What a tensor file cannot say about one tensor.
struct TensorRecord {
  std::string name;
  std::optional<DType> dtype;  ///< the true one, where bytes are stored as another
  std::optional<std::vector<std::int64_t>> shape;
  std::optional<std::vector<std::int64_t>> strides;
  std::uint64_t offset_elements = 0;
  std::string view_of;  ///< not stored itself: a view of this one
  std::string tied_to;  ///< stored, and the same tensor as this one where it came from
  std::vector<std::int64_t> source_strides;
  bool requires_grad = false;
  bool parameter = false;

  bool empty() const {
    return !dtype && view_of.empty() && tied_to.empty() && source_strides.empty() &&
           !requires_grad && !parameter;
  }
};

/// The text of the file. kTensor nodes of `state` hold positions in `tensor_names`. Never
/// recursive; shared nodes are written once, so the text is linear in the tree.
/// Errors: kInvalidArgument for a tensor name that is no UTF-8 or a position out of range.
Result<std::string> write_state_json(const StateTree& state,
                                     const std::vector<std::string>& tensor_names,
                                     const std::vector<TensorRecord>& records);

/// What the file says; kTensor nodes hold positions in `tensor_names` (each name once, in order of
/// first mention).
struct StateFile {
  StateTree state;
  std::vector<std::string> tensor_names;
  std::vector<TensorRecord> records;
};

/// Strict, bounded by `text`'s size, never recursive.
/// Errors: kMalformed with what was expected and found; kUnsupported for another version.
Result<StateFile> parse_state_json(std::string_view text);

/// Reads `path` if it is there and joins it to `data`, whose index is complete: records are
/// applied, `data->state` is set, mismatches become findings. A file that is not there changes
/// nothing; one that is malformed adds a finding. `name` is how findings call it. Errors: only from
/// the disk (kIo, kPermission).
Status attach_state_json(io::FileSystem& files, const std::string& path, CheckpointData* data);

/// The same on what was read already.
void attach_state(StateFile file, const std::string& path, CheckpointData* data);

/// What a writer passes for the tensors it lays out.
struct SidecarInput {
  const Plan* plan = nullptr;
  const StateTree* state = nullptr;  ///< may be null
  const std::vector<std::string>* tensor_names = nullptr;
  /// Tensors the file does not store: (name, name of the stored tensor with the same elements).
  const std::vector<std::pair<std::string, std::string>>* aliases = nullptr;
  /// Names of outputs whose dtype the format cannot say and that are stored as raw bytes.
  std::vector<std::string> raw_outputs;
};

/// The text of STEM.state.json, or "" where there is nothing to say: no records, and a state that
/// is empty or a flat dictionary of the written tensors under their own names.
Result<std::string> make_sidecar(const SidecarInput& input);

/// "dir/model.safetensors" -> "dir/model.state.json".
std::string state_json_path(std::string_view tensor_file_path);

}  // namespace kilter::state_json
