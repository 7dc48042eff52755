// How many NaNs, infinities and zeros a run of numbers holds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kilter/dtype.h"

namespace kilter {

/// Each element counts once: a complex number is NaN if a part is, else infinite if a part is,
/// and zero if both parts are. Negative zero is zero.
struct NumberCounts {
  std::uint64_t elements = 0;
  std::uint64_t nan = 0;
  std::uint64_t infinite = 0;
  std::uint64_t zero = 0;

  NumberCounts& operator+=(const NumberCounts& other);
  bool operator==(const NumberCounts&) const = default;
};

/// True for the float and complex dtypes, the ones count_numbers() takes.
bool has_number_counts(DType dtype);

/// Counts the first `count` elements in `bytes` (little-endian, no alignment needed), which holds
/// at least packed_bytes(dtype, count). Pieces of a tensor may be counted apart and added, dtypes
/// narrower than a byte in pieces of whole bytes. Everything but `elements` is 0 for dtypes
/// without has_number_counts().
NumberCounts count_numbers(DType dtype, std::span<const std::byte> bytes, std::uint64_t count);

/// One element at a time through its value: the reference that tests compare the other with.
NumberCounts count_numbers_reference(DType dtype, std::span<const std::byte> bytes,
                                     std::uint64_t count);

}  // namespace kilter
