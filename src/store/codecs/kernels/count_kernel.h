// Counting symbols that are mostly few neighbours, as the exponents of weights are.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace kilter::store {

/// How many symbols the vectors count at once.
inline constexpr std::size_t kCountGroup = 8;

/// Adds how often each symbol occurs. Those of [first, first + kinds) are counted by comparing
/// vectors with each of them, the others one by one: exact whatever there is, fast where nearly all
/// are in there. `kinds` is a multiple of kCountGroup, and first + kinds at most 256.
void count_neighbours(std::span<const std::uint8_t> symbols, std::size_t first, std::size_t kinds,
                      std::array<std::uint32_t, 256>& counts);

/// The same, plainly.
void count_reference(std::span<const std::uint8_t> symbols, std::array<std::uint32_t, 256>& counts);

}  // namespace kilter::store
