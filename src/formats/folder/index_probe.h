// A shard index given as the checkpoint itself: "model.safetensors.index.json".
#pragma once

#include "formats/format.h"

namespace kilter::formats {

/// make_probe() of what `path` stands for as a checkpoint: a sound shard index stands for its
/// folder, of which only the index, its shards and the texts beside them are seen; a TensorFlow
/// prefix ("model.ckpt-3", which is no file) for its index. Errors: as make_probe().
Result<Probe> probe_checkpoint(io::FileSystem& files, const std::string& path);

}  // namespace kilter::formats
