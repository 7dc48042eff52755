// Random numbers by position: Philox4x32-10.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kilter::ops {

struct PhiloxKey {
  std::uint32_t low = 0, high = 0;
};

/// `out` [count] = 32 random bits for each of the elements [first, first + count) of `stream`.
///
/// A block of 128 bits, with the counter (e / 8, stream), serves eight elements: the upper half of
/// element e's bits is the block's 16-bit word e % 8, the lower half the word behind it (behind the
/// last, the first). So each is uniform to the last bit, and what two elements share decides about
/// both in one of 65,536 cases.
/// Source: Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3 (SC 2011); ten rounds.
void random_bits(PhiloxKey key, std::uint32_t stream, std::uint64_t first, std::size_t count,
                 std::uint32_t* out);
/// The bits of element `place` (0 to 7) of a block.
std::uint32_t random_bits_of(const std::uint32_t block[4], std::size_t place);

/// One block, plainly: what tests compare the other with.
void philox_block(PhiloxKey key, const std::uint32_t counter[4], std::uint32_t out[4]);

}  // namespace kilter::ops
