// Looking for pickles in bytes that no pickle machine reaches in order.
#pragma once

#include <string_view>
#include <vector>

#include "formats/pickle/scan.h"

namespace kilter::pickle {

/// True if a pickle seems to begin here: a PROTO opcode of a known protocol with an opcode behind
/// it, or text that the machine runs up to STOP within its first 4096 opcodes.
bool begins_like_pickle(Bytes bytes);

/// Searches `bytes` for whole pickles (at PROTO opcodes) and for GLOBAL opcodes that name something
/// dangerous. Only what is dangerous is reported: random bytes look like anything else. `who` says
/// which loader could get there. Time is linear, save for a bounded number of trial runs.
void sweep_pickles(Bytes bytes, std::uint64_t file_offset_bytes, std::string_view who,
                   const ScanContext& context, std::vector<Finding>* findings);

}  // namespace kilter::pickle
