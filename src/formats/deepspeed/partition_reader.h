// From the files of all ranks to the groups of parameters they hold together.
#pragma once

#include <string>
#include <vector>

#include "formats/deepspeed/partitions.h"
#include "formats/deepspeed/rank_files.h"

namespace kilter::deepspeed {

using RankList = std::vector<const RankFile*>;

/// A value of the optimizer that belongs to a whole group: `step`.
struct GroupValue {
  std::string name;
  const RankFile* file = nullptr;
  StateId node = kNoState;
};

struct Partitions {
  int stage = 0;              ///< 2 also stands for 1
  std::vector<Group> groups;  ///< stage 3: one
  /// For each group; for stage 3 for each sub-group, which begins at `starts` of the rank's
  /// vector.
  std::vector<std::vector<GroupValue>> values;
  std::vector<std::uint64_t> starts;

  const std::vector<GroupValue>& values_of(std::size_t group, const Place& place) const;
};

/// Reads `optimizer` (the optimizer files of ranks 0, 1, …) with the shapes that `model` (the first
/// model file) states. `folder` is for messages.
/// Errors: kMalformed where counts or sizes disagree, with path, expected and found.
Result<Partitions> read_partitions(const RankFile& model, const RankList& optimizer,
                                   const std::string& folder);

/// The dictionary under "optimizer_state_dict" of an optimizer file.
StateId zero_state_of(const RankFile& file);

}  // namespace kilter::deepspeed
