#include "ops/weights/mismatches.h"

#include <fmt/format.h>

namespace kilter::ops {

bool Mismatches::allowed(Allow kind, const std::string& path, const std::string& tensor,
                         const std::string& what) {
  constexpr std::size_t kShown = 4;
  if (allow_.contains(kind)) return true;
  auto& row = rows_[kind];
  if (row.size() < kShown) row.push_back(fmt::format("{}: {} {}", path, tensor, what));
  ++counts_[kind];
  return false;
}

Status Mismatches::status() const {
  if (rows_.empty()) return ok();
  std::string text = "the inputs do not fit together";
  std::string hint;
  for (const auto& [kind, row] : rows_) {
    text += fmt::format("; {}", fmt::join(row, "; "));
    const std::size_t more = counts_.at(kind) - row.size();
    if (more > 0) text += fmt::format("; and {} more", more);
    hint += fmt::format("{}--allow {}", hint.empty() ? "to go on all the same give " : " ",
                        allow_name(kind));
  }
  return fail(Error(ErrorCode::kInvalidArgument, std::move(text)).advise(std::move(hint)));
}

}  // namespace kilter::ops
