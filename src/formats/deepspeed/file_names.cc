#include "formats/deepspeed/file_names.h"

#include <algorithm>
#include <charconv>
#include <tuple>

namespace kilter::deepspeed {
namespace {

/// Takes `text` off the front of `name`.
bool take_text(std::string_view* name, std::string_view text) {
  if (!name->starts_with(text)) return false;
  name->remove_prefix(text.size());
  return true;
}

bool take_decimal(std::string_view* name, std::uint32_t* number) {
  const auto [end, error] = std::from_chars(name->data(), name->data() + name->size(), *number);
  if (error != std::errc() || end == name->data()) return false;
  name->remove_prefix(static_cast<std::size_t>(end - name->data()));
  return true;
}

}  // namespace

std::optional<CheckpointFile> parse_file_name(std::string_view name) {
  if (name.find('/') != std::string_view::npos) return std::nullopt;
  CheckpointFile file;
  file.name = name;
  std::string_view rest = name;
  bool zero = false, expert = false, expert_optimizer = false;
  take_text(&rest, "bf16_");
  if (take_text(&rest, "zero_pp_rank_")) {
    zero = take_decimal(&rest, &file.rank) && take_text(&rest, "_");
    if (!zero) return std::nullopt;
  } else if (take_text(&rest, "expp_rank_")) {
    expert_optimizer = take_decimal(&rest, &file.rank) && take_text(&rest, "_");
    if (!expert_optimizer) return std::nullopt;
  } else {
    std::uint32_t layer = 0;
    if (take_text(&rest, "layer_")) {
      if (!take_decimal(&rest, &layer) || !take_text(&rest, "_")) return std::nullopt;
      file.layer = layer;
    }
    if (take_text(&rest, "expert_")) {
      expert = take_decimal(&rest, &file.rank) && take_text(&rest, "_");
      if (!expert) return std::nullopt;
    } else if (file.layer >= 0) {
      return std::nullopt;  // a pipeline's layer, which is another layout
    }
  }
  if (!take_text(&rest, "mp_rank_") || !take_decimal(&rest, &file.mp_rank)) return std::nullopt;
  if (rest == "_model_states.pt" && !expert_optimizer) {
    file.role = expert ? FileRole::kExpert : zero ? FileRole::kModelPartition : FileRole::kModel;
    return file;
  }
  if (rest != "_optim_states.pt" || expert || !(zero || expert_optimizer)) return std::nullopt;
  file.role = zero ? FileRole::kOptimizer : FileRole::kExpertOptimizer;
  return file;
}

std::vector<CheckpointFile> sort_files(const std::vector<std::string>& names) {
  std::vector<CheckpointFile> out;
  for (const std::string& name : names)
    if (auto file = parse_file_name(name)) out.push_back(std::move(*file));
  const auto key = [](const CheckpointFile& f) {
    return std::tuple(f.role, f.mp_rank, f.layer, f.rank, std::string_view(f.name));
  };
  std::sort(out.begin(), out.end(), [&](const auto& a, const auto& b) { return key(a) < key(b); });
  return out;
}

}  // namespace kilter::deepspeed
