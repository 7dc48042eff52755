// Opens torch's zip archives.
#pragma once

#include "formats/format.h"
#include "formats/torch/zip_layout.h"
#include "formats/torch/zip_storages.h"

namespace kilter::torch {

/// An opened archive: what was found in it, and which tensors each member holds.
struct ZipCheckpoint {
  CheckpointData data;
  zip::Archive archive;
  ZipLayout layout;
  /// The member of each storage of data.index; ZipStorages::kNoMember where there is none.
  std::vector<std::size_t> storage_members;
};

/// Errors: kMalformed, kUnsupported, kLimitExceeded, kUnsafe, kIo with path, tensor, offset.
Result<ZipCheckpoint> open_zip(const io::ReadFile& file, const OpenOptions& options,
                               const zip::Limits& limits = {});

}  // namespace kilter::torch
