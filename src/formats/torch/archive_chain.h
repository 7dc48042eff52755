// Archives laid end to end in one file, as the data files of distributed checkpoints are.
#pragma once

#include <cstdint>
#include <vector>

#include "kilter/checkpoint.h"

#include "io/file_system.h"

namespace kilter::torch {

struct ChainLink {
  std::uint64_t offset_bytes = 0;
  std::uint64_t bytes = 0;
};

/// The archives of a file that nothing but whole archives fill, by offset; empty unless there are
/// at least two. Each must end with an end record without a comment. Errors: kIo.
Result<std::vector<ChainLink>> split_chain(const io::ReadFile& file);

/// Opens each archive; their tensors are named "0", "1.key" … by the number of their archive.
/// Errors: those of open_zip.
Result<CheckpointData> open_chain(const io::ReadFile& file, const std::vector<ChainLink>& chain,
                                  const OpenOptions& options);

/// "file!@1641": how messages call an archive of a chain.
std::string link_path(const io::ReadFile& file, const ChainLink& link);

}  // namespace kilter::torch
