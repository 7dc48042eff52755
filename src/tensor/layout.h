// Shapes and strides: sizes and bounds in checked arithmetic, and the fewest dimensions that
// describe a view.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kilter/dtype.h"
#include "kilter/error.h"

namespace kilter {

/// Product of `shape`; 1 for a scalar.
/// Errors: kMalformed if a dimension is negative or the product, leaving out dimensions of 0,
/// passes 2^63 - 1 (a shape no memory could hold is refused even if another dimension is 0).
Result<std::uint64_t> element_count(std::span<const std::int64_t> shape);

/// Bytes of `count` elements in a row; dtypes narrower than a byte round up to whole bytes.
/// Errors: kMalformed if that passes 2^63 - 1.
Result<std::uint64_t> packed_bytes(DType dtype, std::uint64_t count);

/// packed_bytes of element_count.
Result<std::uint64_t> contiguous_bytes(DType dtype, std::span<const std::int64_t> shape);

/// Elements of a storage that a view touches, both inclusive, counted from the storage's first.
struct Extent {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
};

/// The lowest and highest element the view reads; nullopt if it has no elements. Strides count
/// elements, may be 0 and may be negative.
/// Errors: kMalformed if shape and strides differ in length, a dimension is negative, an element
/// lies before the storage, or the arithmetic passes 2^63 - 1.
Result<std::optional<Extent>> view_extent(std::span<const std::int64_t> shape,
                                          std::span<const std::int64_t> strides,
                                          std::uint64_t offset_elements);

/// True if C-order traversal reads consecutive elements. Dimensions of 1 may have any stride; a
/// view without elements is contiguous. False if shape and strides differ in length.
bool is_contiguous(std::span<const std::int64_t> shape, std::span<const std::int64_t> strides);

/// One dimension of a view.
struct Dim {
  std::int64_t size = 1;
  std::int64_t stride_elements = 0;
  bool operator==(const Dim&) const = default;
};

/// The fewest dimensions with the same C-order traversal, outermost first: those of 1 go, and
/// neighbours that one stride describes merge. A scalar gives none; a view without elements gives
/// one of size 0. `shape` and `strides` have passed view_extent().
std::vector<Dim> coalesce_dims(std::span<const std::int64_t> shape,
                               std::span<const std::int64_t> strides);

/// "[2, 3]", for messages; at most 16 numbers, then "…".
std::string shape_text(std::span<const std::int64_t> numbers);

}  // namespace kilter
