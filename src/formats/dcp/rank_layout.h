// The layout of a step that several ranks saved. Source: spec/sharded-step.md.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kilter/dtype.h"
#include "kilter/error.h"

#include "formats/dcp/metadata.h"

namespace kilter::dcp {

inline constexpr std::string_view kRankLayoutName = "kilter-dcp.json";

/// What a rank wrote: a tensor of its file.
struct RankItem {
  std::uint32_t rank = 0;
  std::string name;  ///< in "rank-00003.safetensors"
  Chunk chunk;       ///< the box of the whole; empty for objects
};

/// A whole tensor, and the boxes that make it up.
struct RankTensor {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<std::int64_t> shape;
  bool requires_grad = false;
  std::vector<RankItem> pieces;
};

/// A value as an archive of torch.
struct RankObject {
  std::string name;
  RankItem item;
};

struct RankLayout {
  std::vector<RankTensor> tensors;
  std::vector<RankObject> objects;
  std::map<std::string, std::vector<PathPart>, std::less<>> paths;  ///< where it is not the name

  std::vector<PathPart> path_of(const std::string& name) const;
};

/// "rank-00003.safetensors".
std::string rank_file_name(std::uint32_t rank);

/// Errors: kMalformed, kLimitExceeded with the offset or the entry; kUnsupported for a later
/// version.
Result<RankLayout> parse_rank_layout(std::string_view text);

}  // namespace kilter::dcp
