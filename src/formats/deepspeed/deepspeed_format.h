// The format "deepspeed": ZeRO stages 1 to 3 and universal checkpoints. Read only.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/format.h"

namespace kilter::formats {

/// Its row of the table of formats. It opens a tag's folder ("global_step100"), or the folder above
/// with a text `latest` (`latest_universal`) that names the tag.
const Format& deepspeed_format();

/// The tag's folder that is meant, relative to the folder of these sorted names: "" where the files
/// lie at its top, "global_step100" where `latest` (read from `root`) says so or there is but one.
/// nullopt where no DeepSpeed checkpoint is.
std::optional<std::string> find_deepspeed_tag(io::FileSystem& files, const std::string& root,
                                              const std::vector<std::string>& names);

/// True for files of DeepSpeed's, by their names: "global_step3/mp_rank_00_model_states.pt".
bool is_deepspeed_file(std::string_view name);

}  // namespace kilter::formats
