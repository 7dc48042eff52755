// Tensors of strings: their lengths, a checksum of those, then the bytes of all.
// Source: tensorflow/core/util/tensor_bundle/tensor_bundle.cc (WriteStringTensor's comment).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kilter/error.h"
#include "kilter/state_tree.h"

#include "base/byte_reader.h"

namespace kilter::tensorflow {

/// The strings in `content`, views of it. `big_endian` is the byte order of whoever wrote it: the
/// checksum counts lengths as words in memory. Both checksums are verified.
/// Errors: kMalformed, kCorrupt with the offset in `content`.
Result<std::vector<std::string_view>> read_strings(Bytes content, std::uint64_t count,
                                                   bool big_endian, std::uint32_t masked_crc32c);

/// Adds `strings` as bytes: one alone for a scalar, lists within lists for more dimensions.
/// `shape` multiplies up to their number.
StateId add_strings(const std::vector<std::string_view>& strings,
                    const std::vector<std::int64_t>& shape, StateTree* tree);

}  // namespace kilter::tensorflow
