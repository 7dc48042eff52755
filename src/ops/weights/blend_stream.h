// Blends of many inputs, read in large pieces one after the other.
#pragma once

#include <cstdint>

#include "kilter/output_options.h"

#include "flow/plan.h"

namespace kilter::ops {

/// From this many inputs on. A kernel gets the same few elements of all its inputs at once, and the
/// more there are, the smaller the reads: steps of a store would be decoded again for each.
inline constexpr std::size_t kStreamedInputs = 9;

/// Makes blends of many inputs the tensors of a source that adds one input after the other to sums
/// in binary64: the same arithmetic in the same order, so the same bytes. Takes the memory for it
/// out of `options`.
void stream_large_blends(Plan& plan, OutputOptions& options);

}  // namespace kilter::ops
