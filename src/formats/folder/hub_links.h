// The hub cache's symlinks: snapshots/<revision>/model.safetensors -> ../../blobs/<digest>.
#pragma once

#include "io/file_system.h"

namespace kilter::formats {

/// The file system to open a folder's files through. Like `files`, but names beneath a folder
/// `…/snapshots/<revision>` may also lead to the cache folder it belongs to, two levels up: that is
/// where the hub's client puts the bytes. Any other way out is refused as before.
/// Wraps only the real file system; others are returned as they are.
io::FileSystem& with_hub_links(io::FileSystem& files);

}  // namespace kilter::formats
