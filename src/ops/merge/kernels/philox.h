// Random numbers by position: Philox4x32-10.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kilter::ops {

struct PhiloxKey {
  std::uint32_t low = 0, high = 0;
};

/// `out` [count] = 32 random bits for each of the elements [first, first + count) of `stream`.
/// Element e is word e % 4 of the block with the counter (e / 4, stream).
/// Source: Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3 (SC 2011); ten rounds.
void random_bits(PhiloxKey key, std::uint32_t stream, std::uint64_t first, std::size_t count,
                 std::uint32_t* out);

/// One block, plainly: what tests compare the other with.
void philox_block(PhiloxKey key, const std::uint32_t counter[4], std::uint32_t out[4]);

}  // namespace kilter::ops
