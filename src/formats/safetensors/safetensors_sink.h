// Lays out safetensors files.
#pragma once

#include <memory>

#include "formats/format.h"

namespace kilter::safetensors {

/// One file, or shards with `STEM.safetensors.index.json` once the outputs pass
/// `shard_bytes_max`; with state, also `STEM.state.json` (spec/state-json.md).
std::unique_ptr<Sink> make_safetensors_sink(const formats::WriteOptions& options);

}  // namespace kilter::safetensors
