// Opens torch's zip archives.
#pragma once

#include "formats/format.h"
#include "formats/torch/zip_layout.h"

namespace kilter::torch {

/// An opened archive: what was found in it, and which tensors each member holds.
struct ZipCheckpoint {
  CheckpointData data;
  zip::Archive archive;
  ZipLayout layout;
  /// Tensors by member, for checks that find a fault in a member.
  std::vector<std::pair<std::size_t, std::vector<std::string>>> tensors_by_member;
};

/// Errors: kMalformed, kUnsupported, kLimitExceeded, kUnsafe, kIo with path, tensor, offset.
Result<ZipCheckpoint> open_zip(const io::ReadFile& file, const OpenOptions& options);

}  // namespace kilter::torch
