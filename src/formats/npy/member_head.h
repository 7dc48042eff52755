// The beginning of a zip member without the rest of it.
#pragma once

#include <vector>

#include "formats/zip/archive.h"

namespace kilter::npy {

/// At most `bytes_max` bytes from the beginning of a readable member, inflated where needed. Reads
/// no more than it takes. Errors: kMalformed where the compressed data breaks before that; kIo.
Result<std::vector<std::byte>> read_member_head(const io::ReadFile& file, const zip::Member& member,
                                                std::uint64_t bytes_max);

}  // namespace kilter::npy
