// One model-parallel rank of a ZeRO checkpoint, put together.
#pragma once

#include <string>
#include <vector>

#include "kilter/checkpoint.h"

#include "formats/deepspeed/file_names.h"
#include "formats/deepspeed/rank_files.h"

namespace kilter::deepspeed {

/// The files of one model-parallel rank, each list in order of rank.
struct ZeroFiles {
  std::vector<std::string> model;      ///< one, or one for each rank (stage 3)
  std::vector<std::string> optimizer;  ///< one for each rank; none where ZeRO is off
  std::vector<CheckpointFile> experts;
};

/// Appends to `data`:
/// - the weights by their own names: fp32 masters of parameters, buffers (half precision becomes
///   fp32, as DeepSpeed's own script makes it), frozen parameters as stored, experts as stored;
/// - aliases that the checkpoint states, as ties;
/// - the optimizer's state as "optimizer.<parameter>.exp_avg" and so on.
/// Returns the state: {"module": {name: tensor}, "optimizer": {"state": {name: …}, …}, …} with
/// whatever else rank 0 keeps. `prefix` goes before every name.
/// Errors: kMalformed where files disagree, with path, tensor, expected and found.
Result<StateId> add_zero(const ZeroFiles& names, const std::string& prefix,
                         const std::string& folder, io::FileSystem& files, RankFiles* opener,
                         CheckpointData* data);

}  // namespace kilter::deepspeed
