// Single items of a distributed checkpoint: each a complete torch archive inside a larger file.
#pragma once

#include <memory>
#include <string>

#include "kilter/checkpoint.h"

#include "formats/dcp/metadata.h"
#include "io/file_system.h"

namespace kilter::dcp {

/// Checks that the item lies in `file` and that Kilter knows its transforms.
/// Errors: kMalformed with path and offset; kUnsupported with the transform's name.
Status check_place(const Place& place, const io::ReadFile& file);

/// True if the item is a Zstandard stream.
bool is_compressed(const Place& place);

/// Bytes of an item as a file of its own; `path` is for messages ("dir/__0_0.distcp!name"). The
/// ends of the archive, all that opening needs, are read once. `file` must outlive it.
Result<std::unique_ptr<io::ReadFile>> item_file(const io::ReadFile& file, const Place& place,
                                                std::string path);

/// Opens an item from its headers. Storages carry offsets in `file`, which is number 0 of the
/// index. Errors: those of torch::open_zip; kMalformed where the place does not lie in the file.
Result<CheckpointData> open_item(const io::ReadFile& file, const Place& place, bool tensor,
                                 const std::string& path, const OpenOptions& options);

}  // namespace kilter::dcp
