// Tensors put together from pieces.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "kilter/tensor_index.h"

#include "tensor/layout.h"

namespace kilter::flow {

/// Fills `out` with elements [first, …) of the C-order traversal of a piece's own box.
using PieceRead =
    std::function<Status(const Piece& piece, std::uint64_t first, std::span<std::byte> out)>;

/// Reads ranges of an assembled whole. The places that a piece fills ascend along its own C order,
/// so a range of the whole needs one range of each piece: its ends are found by counting, its
/// elements come in long reads and are then laid out row by row. Where a row is the whole piece, as
/// with shards along the first dimension, it is read straight into place. Thread-safe.
class AssembledReader {
 public:
  /// `assembly` passed check_assembly() and outlives the reader.
  explicit AssembledReader(const Assembly& assembly);

  /// Elements [first, first + out's) of the whole, using at most `scratch.size()` further bytes (at
  /// least one element's). Errors: those of `read`.
  Status read(const PieceRead& read, std::uint64_t first, std::span<std::byte> out,
              std::span<std::byte> scratch) const;

  /// True if some piece lies in rows with others' rows between them.
  bool interleaved() const { return interleaved_; }

 private:
  /// Where a piece lies in the whole's C order, [begin, end) from its first to its last element.
  struct Span {
    std::uint64_t begin = 0, end = 0;
    std::uint64_t end_max = 0;  ///< of this and all earlier spans
    std::size_t piece = 0;
  };
  struct Rows {
    std::vector<Dim> outer;  ///< outermost first; strides are the whole's
    std::uint64_t row = 1;   ///< elements that lie together both in the piece and in the whole
  };

  Rows rows_of(const Piece& piece) const;
  std::uint64_t elements_before(const Piece& piece, std::span<const std::uint64_t> place) const;
  std::vector<std::uint64_t> place_of(std::uint64_t element) const;
  Status read_span(const PieceRead& read, const Span& span, std::uint64_t first,
                   std::span<const std::uint64_t> first_place,
                   std::span<const std::uint64_t> last_place, std::span<std::byte> out,
                   std::span<std::byte> scratch) const;

  const Assembly& assembly_;
  std::vector<std::int64_t> strides_;  // of the whole
  std::uint64_t count_ = 0;            // elements of the whole
  std::uint32_t element_bytes_;
  bool interleaved_ = false;
  std::vector<Span> spans_;  // those with elements, by begin
};

}  // namespace kilter::flow
