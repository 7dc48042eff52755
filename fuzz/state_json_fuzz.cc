// Any text as a state file: what is accepted is written again and reads back as the same text.
#include <cstdlib>

#include "kilter/checkpoint.h"

#include "formats/state_json/state_json.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace kilter;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  auto file = state_json::parse_state_json(text);
  if (!file) return 0;
  const auto once = state_json::write_state_json(file->state, file->tensor_names, file->records);
  if (!once) std::abort();  // what was read can be written
  auto again = state_json::parse_state_json(*once);
  if (!again) std::abort();
  const auto twice =
      state_json::write_state_json(again->state, again->tensor_names, again->records);
  if (!twice || *twice != *once) std::abort();

  CheckpointData checkpoint;
  checkpoint.index.files = {{"f", 64}};
  StorageInfo storage;
  storage.bytes = storage.stored_bytes = 64;
  checkpoint.index.storages = {storage};
  TensorInfo tensor;
  tensor.name = "a";
  tensor.dtype = DType::kU8;
  tensor.shape = {64};
  tensor.strides = {1};
  checkpoint.index.tensors = {tensor};
  state_json::attach_state(std::move(*file), "f.state.json", &checkpoint);
  if (!checkpoint.index.validate()) std::abort();  // records never break an index
  for (StateId id = 0; id < checkpoint.state.size(); ++id) {
    const StateNode& node = checkpoint.state[id];
    if (node.kind == StateKind::kTensor &&
        static_cast<std::uint64_t>(node.integer) >= checkpoint.index.tensors.size())
      std::abort();
  }
  return 0;
}
