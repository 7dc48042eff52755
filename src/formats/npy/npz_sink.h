// Lays out .npz files.
#pragma once

#include <memory>

#include "formats/format.h"

namespace kilter::npy {

/// One zip of stored members, each array's data at a multiple of 64 bytes; with state, also
/// `STEM.state.json`. bf16 is written as `|V2`, 8-bit floats as `|u1`, other foreign dtypes as
/// plain bytes: the state file says what they are, and without state they are refused.
std::unique_ptr<Sink> make_npz_sink(const formats::WriteOptions& options);

}  // namespace kilter::npy
