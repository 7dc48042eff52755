// Big-endian to little-endian and back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace kilter {

/// Reverses the bytes of each unit of `unit_bytes` (2, 4 or 8; 1 leaves all as it is), in place.
/// `bytes.size()` is a multiple of the unit; no alignment is needed. The unit of a dtype is
/// dtype_row(dtype).swap_bytes: the parts of a complex number are swapped one by one.
void byte_swap(std::span<std::byte> bytes, std::uint32_t unit_bytes);

/// The same from `from` to `to`, equally long and not overlapping.
void byte_swap_copy(std::span<const std::byte> from, std::span<std::byte> to,
                    std::uint32_t unit_bytes);

/// One unit at a time: the reference that tests compare the others with.
void byte_swap_reference(std::span<std::byte> bytes, std::uint32_t unit_bytes);

}  // namespace kilter
