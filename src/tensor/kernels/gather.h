// Strided views made contiguous.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "kilter/error.h"

#include "tensor/layout.h"

namespace kilter {

/// Copies a strided view in C order. Made once for a tensor, then run for any ranges of its
/// elements, from several threads at once.
class Gather {
 public:
  /// `element_bytes` is 1, 2, 4, 8 or 16. Strides count elements, may be 0 and negative.
  /// Errors: kInvalidArgument for another element size (dtypes narrower than a byte are stored
  /// contiguously and copied as bytes); kMalformed as view_extent().
  static Result<Gather> make(std::span<const std::int64_t> shape,
                             std::span<const std::int64_t> strides, std::uint32_t element_bytes);

  std::uint64_t element_count() const { return count_; }
  /// True if the view's elements lie one after the other: a plain copy does.
  bool contiguous() const { return contiguous_; }

  /// Writes elements [first, first + count) of the C-order traversal to `out`, which holds
  /// count * element_bytes bytes and does not overlap the source. `base` points at element
  /// [0, 0, ...] of the view (the storage's start plus offset_elements * element_bytes); neither
  /// pointer needs to be aligned. The caller has checked that the view lies in its storage and
  /// that first + count <= element_count().
  void run(const std::byte* base, std::uint64_t first, std::uint64_t count, std::byte* out) const;

  /// The same, one element at a time: the reference that tests compare run() with.
  void run_reference(const std::byte* base, std::uint64_t first, std::uint64_t count,
                     std::byte* out) const;

 private:
  Gather(std::vector<Dim> dims, std::uint64_t count, std::uint32_t element_bytes);
  void run_rows(const std::byte* base, std::uint64_t first, std::uint64_t count,
                std::byte* out) const;
  void run_slabs(const std::byte* base, std::uint64_t first, std::uint64_t count,
                 std::byte* out) const;
  void run_block(const std::byte* base, std::uint64_t rows, std::byte* out) const;

  std::vector<Dim> dims_;  // coalesced, outermost first, at least one
  std::uint64_t count_;
  std::uint32_t element_bytes_;
  bool contiguous_;
  std::optional<std::size_t> transposed_;  // dimension whose rows are the source's columns
};

}  // namespace kilter
