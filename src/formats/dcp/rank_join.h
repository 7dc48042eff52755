// The files of several ranks as one checkpoint: whole tensors, values, nested state.
#pragma once

#include "kilter/checkpoint.h"

#include "io/file_system.h"

namespace kilter::dcp {

/// Takes what `data`, a folder's files opened one by one, holds of the ranks' files and puts the
/// whole tensors, in pieces, and the nested state that `kilter-dcp.json` describes in its place.
/// Tensors that no piece names stay. With options.lenient, what is not whole is left out and a
/// finding says why. Errors: those of parse_rank_layout; kMalformed for pieces that are missing,
/// differ in dtype or shape, or do not fill their tensor; kIo.
Status join_ranks(io::FileSystem& files, const std::string& root, const OpenOptions& options,
                  CheckpointData* data);

}  // namespace kilter::dcp
