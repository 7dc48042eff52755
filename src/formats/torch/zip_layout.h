// How torch lays a checkpoint out inside a zip archive. Source: torch/serialization.py and
// caffe2/serialize/inline_container.cc.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/zip/archive.h"

namespace kilter::torch {

inline constexpr std::string_view kDataPickle = "data.pkl";
inline constexpr std::string_view kConstantsPickle = "constants.pkl";
inline constexpr std::uint64_t kSmallMemberBytesMax = 4096;

/// Where the parts of a checkpoint are. Members are positions in Archive::members.
struct ZipLayout {
  std::string root;  ///< "archive/" with the slash; "" where the parts lie at the top
  std::size_t data_pickle = 0;
  std::optional<std::size_t> constants_pickle;
  std::vector<std::size_t> code;    ///< TorchScript sources
  std::vector<std::size_t> extras;  ///< TorchScript's extra files
  bool script() const { return constants_pickle.has_value(); }
};

/// Finds the root: the first folder of the archive that holds data.pkl, as torch does.
std::optional<ZipLayout> find_layout(const zip::Archive& archive);

/// Members beside the known ones, and data.pkl in more than one place.
void judge_layout(const zip::Archive& archive, const ZipLayout& layout, const std::string& path,
                  std::vector<Finding>* findings);

}  // namespace kilter::torch
