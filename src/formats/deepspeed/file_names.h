// What DeepSpeed calls the files of a checkpoint.
// Source: deepspeed/runtime/engine.py (_get_ckpt_name, _get_zero_ckpt_name, _get_expert_ckpt_name,
// _get_optimizer_ckpt_name), checkpoint/constants.py.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kilter::deepspeed {

enum class FileRole : std::uint8_t {
  kModel,            ///< mp_rank_00_model_states.pt: stages 0 to 2
  kModelPartition,   ///< zero_pp_rank_0_mp_rank_00_model_states.pt: stage 3
  kOptimizer,        ///< [bf16_]zero_pp_rank_0_mp_rank_00_optim_states.pt
  kExpert,           ///< layer_0_expert_3_mp_rank_00_model_states.pt
  kExpertOptimizer,  ///< expp_rank_0_mp_rank_00_optim_states.pt
};

struct CheckpointFile {
  std::string name;  ///< relative to the tag's folder
  FileRole role = FileRole::kModel;
  std::uint32_t rank = 0;     ///< data-parallel; the expert's number for kExpert
  std::uint32_t mp_rank = 0;  ///< model-parallel
  std::int64_t layer = -1;    ///< of kExpert, where the name states one
};

/// nullopt for names of other files, and for names with a '/'.
std::optional<CheckpointFile> parse_file_name(std::string_view name);

/// The files of a tag's folder, ordered by role, model-parallel rank, layer and rank.
std::vector<CheckpointFile> sort_files(const std::vector<std::string>& names);

}  // namespace kilter::deepspeed
