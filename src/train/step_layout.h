// The files of one step. Source: spec/training-state.md.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kilter/checkpoint.h"
#include "kilter/state.h"

#include "flow/sink.h"

namespace kilter::train {

/// The part that holds whatever has no file of its own, and marks a folder as a step.
inline constexpr std::string_view kRestPart = "training";

struct StepLayout {
  std::vector<FileLayout> files;  ///< of literals and outputs
  std::vector<PlanOutput> outputs;
  std::vector<std::size_t> tensors;  ///< by output: position in State::tensors()

  std::uint64_t tensor_bytes() const;
};

/// Errors: kInvalidArgument for tensors that cannot be, with their path, and for files whose names
/// are taken or leave the folder.
Result<StepLayout> lay_out_step(const StateTree& state, const std::vector<LiveTensor>& tensors,
                                const std::vector<std::pair<std::string, std::string>>& files);

/// Bytes of a live tensor, contiguous. Errors: kInvalidArgument for shapes and strides that cannot
/// be, and for no memory where there should be some.
Result<std::uint64_t> live_bytes(const LiveTensor& tensor);

/// A state put together again: the tree of an opened step with every part at its old place, and
/// where that begins. A checkpoint that is no step keeps its own tree.
struct LoadedState {
  StateTree tree;
  StateId root = kNoState;
};
LoadedState joined_state(const CheckpointData& data);

/// Readers of folders go on without a file that they cannot read, if it holds no weights. A step of
/// which a file is missing or broken is damaged: its error.
std::optional<Error> damage_of(const CheckpointData& data);

}  // namespace kilter::train
