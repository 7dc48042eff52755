// Steps in a plain folder: which there are, and which stay.
#pragma once

#include <string>
#include <vector>

#include "kilter/upkeep.h"

#include "io/file_system.h"

namespace kilter::train {

/// "step-00001200".
std::string step_folder_name(std::int64_t step);

struct StepFolder {
  std::string name;
  std::int64_t step = 0;
};

/// By step. None where the folder is missing.
Result<std::vector<StepFolder>> list_steps(io::FileSystem& files, const std::string& folder);

/// Removes what no rule keeps; the newest step always stays. A step is renamed before it is
/// removed: it is whole or it is not there.
Status retain_folders(io::FileSystem& files, const std::string& folder, const RetainRequest& keep);

/// Removes what an interrupted retain_folders() left.
Status sweep_folders(io::FileSystem& files, const std::string& folder);

}  // namespace kilter::train
