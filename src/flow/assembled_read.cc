#include "flow/assembled_read.h"

#include <algorithm>
#include <cstring>

#include "base/try.h"

namespace kilter::flow {
namespace {

/// Rows this long are read one by one into place; shorter ones together, and then copied.
constexpr std::uint64_t kDirectRowBytes = 128ULL << 10;

/// Walks a piece's rows: where element `at` of its traversal lies, and how much of its row is left.
class RowWalk {
 public:
  RowWalk(std::span<const Dim> outer, std::uint64_t row, std::uint64_t begin, std::uint64_t at)
      : outer_(outer), row_(row), place_(begin), index_(outer.size(), 0), in_row_(at % row) {
    std::uint64_t rest = at / row;
    for (std::size_t d = outer.size(); d-- > 0;) {
      const auto size = static_cast<std::uint64_t>(outer[d].size);
      index_[d] = rest % size;
      rest /= size;
      place_ += index_[d] * static_cast<std::uint64_t>(outer[d].stride_elements);
    }
  }

  std::uint64_t place() const { return place_ + in_row_; }
  std::uint64_t left() const { return row_ - in_row_; }
  /// `count` is at most left().
  void advance(std::uint64_t count) {
    in_row_ += count;
    if (in_row_ < row_) return;
    in_row_ = 0;
    for (std::size_t d = outer_.size(); d-- > 0;) {
      const auto stride = static_cast<std::uint64_t>(outer_[d].stride_elements);
      const auto size = static_cast<std::uint64_t>(outer_[d].size);
      place_ += stride;
      if (++index_[d] < size) return;
      place_ -= stride * size;
      index_[d] = 0;
    }
  }

 private:
  std::span<const Dim> outer_;
  std::uint64_t row_;
  std::uint64_t place_;  // of the row's first element
  std::vector<std::uint64_t> index_;
  std::uint64_t in_row_;
};

/// Copies elements that came in the piece's order to where the whole wants them.
void lay_out(RowWalk& walk, std::span<const std::byte> from, std::uint64_t element_bytes,
             std::uint64_t first, std::byte* out) {
  while (!from.empty()) {
    const std::uint64_t count = std::min<std::uint64_t>(walk.left(), from.size() / element_bytes);
    std::memcpy(out + (walk.place() - first) * element_bytes, from.data(), count * element_bytes);
    walk.advance(count);
    from = from.subspan(count * element_bytes);
  }
}

}  // namespace

AssembledReader::AssembledReader(const Assembly& assembly)
    : assembly_(assembly),
      strides_(contiguous_strides(assembly.shape)),
      element_bytes_(dtype_row(assembly.element).bits / 8U) {
  for (std::size_t i = 0; i < assembly.pieces.size(); ++i) {
    const Piece& piece = assembly.pieces[i];
    Span span;
    std::uint64_t count = 1;
    for (std::size_t d = 0; d < strides_.size(); ++d) {
      const auto stride = static_cast<std::uint64_t>(strides_[d]);
      const auto size = static_cast<std::uint64_t>(piece.sizes[d]);
      count *= size;
      if (size == 0) break;
      span.begin += static_cast<std::uint64_t>(piece.offsets[d]) * stride;
      span.end += (size - 1) * stride;
    }
    if (count == 0) continue;
    span.end += span.begin + 1;
    span.piece = i;
    count_ += count;
    interleaved_ = interleaved_ || span.end - span.begin != count;
    spans_.push_back(span);
  }
  std::sort(spans_.begin(), spans_.end(),
            [](const Span& a, const Span& b) { return a.begin < b.begin; });
  std::uint64_t end = 0;
  for (Span& span : spans_) span.end_max = end = std::max(end, span.end);
}

AssembledReader::Rows AssembledReader::rows_of(const Piece& piece) const {
  Rows rows;
  rows.outer = coalesce_dims(piece.sizes, strides_);
  if (rows.outer.empty() || rows.outer.back().stride_elements != 1) return rows;
  rows.row = static_cast<std::uint64_t>(rows.outer.back().size);
  rows.outer.pop_back();
  return rows;
}

std::vector<std::uint64_t> AssembledReader::place_of(std::uint64_t element) const {
  std::vector<std::uint64_t> place(strides_.size(), 0);
  for (std::size_t d = strides_.size(); d-- > 0;) {
    const auto size = static_cast<std::uint64_t>(assembly_.shape[d]);
    place[d] = element % size;
    element /= size;
  }
  return place;
}

/// How many elements of the piece lie before `place` in the whole's C order.
std::uint64_t AssembledReader::elements_before(const Piece& piece,
                                               std::span<const std::uint64_t> place) const {
  std::uint64_t before = 0;  // counted in steps of the dimensions passed so far
  bool inside = true;        // `place` is still level with the box
  for (std::size_t d = 0; d < place.size(); ++d) {
    const auto size = static_cast<std::uint64_t>(piece.sizes[d]);
    const auto offset = static_cast<std::uint64_t>(piece.offsets[d]);
    before *= size;
    if (!inside || place[d] < offset) {
      inside = false;
      continue;
    }
    const std::uint64_t at = place[d] - offset;
    before += std::min(at, size);
    inside = at < size;
  }
  return before;
}

Status AssembledReader::read(const PieceRead& read, std::uint64_t first, std::span<std::byte> out,
                             std::span<std::byte> scratch) const {
  const std::uint64_t last = first + out.size() / element_bytes_;
  if (first == last) return ok();
  const auto first_place = place_of(first);
  // One past the whole's end has no place; every piece ends before it.
  const auto last_place = last == count_ ? std::vector<std::uint64_t>() : place_of(last);
  auto span = std::partition_point(spans_.begin(), spans_.end(),
                                   [&](const Span& one) { return one.end_max <= first; });
  for (; span != spans_.end() && span->begin < last; ++span)
    if (span->end > first)
      KILTER_TRY(read_span(read, *span, first, first_place, last_place, out, scratch));
  return ok();
}

Status AssembledReader::read_span(const PieceRead& read, const Span& span, std::uint64_t first,
                                  std::span<const std::uint64_t> first_place,
                                  std::span<const std::uint64_t> last_place,
                                  std::span<std::byte> out, std::span<std::byte> scratch) const {
  const Piece& piece = assembly_.pieces[span.piece];
  std::uint64_t total = 1;
  for (const std::int64_t size : piece.sizes) total *= static_cast<std::uint64_t>(size);
  std::uint64_t at = span.begin >= first ? 0 : elements_before(piece, first_place);
  const bool whole = last_place.empty() || span.end <= first + out.size() / element_bytes_;
  const std::uint64_t end = whole ? total : elements_before(piece, last_place);
  if (at == end) return ok();
  const Rows rows = rows_of(piece);
  RowWalk walk(rows.outer, rows.row, span.begin, at);
  const bool direct = rows.outer.empty() || rows.row * element_bytes_ >= kDirectRowBytes;
  while (at < end) {
    if (direct) {
      const std::uint64_t count = std::min(walk.left(), end - at);
      const std::uint64_t to = (walk.place() - first) * element_bytes_;
      KILTER_TRY(read(piece, at, out.subspan(to, count * element_bytes_)));
      walk.advance(count);
      at += count;
      continue;
    }
    const std::uint64_t count = std::min(scratch.size() / element_bytes_, end - at);
    const auto block = scratch.first(count * element_bytes_);
    KILTER_TRY(read(piece, at, block));
    lay_out(walk, block, element_bytes_, first, out.data());
    at += count;
  }
  return ok();
}

}  // namespace kilter::flow
