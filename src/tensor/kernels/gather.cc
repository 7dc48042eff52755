#include "tensor/kernels/gather.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/try.h"
#include "tensor/kernels/transpose.h"

namespace kilter {
namespace {

// Rows of a block that is transposed at once: as many as a strip of transpose.cc.
constexpr std::uint64_t kBlockRows = 128;

/// Walks the indices of some dimensions in C order and knows where in the source each lies.
class Odometer {
 public:
  /// Starts at position `start` of the traversal of `dims`.
  Odometer(std::span<const Dim> dims, std::uint64_t start) : dims_(dims), index_(dims.size()) {
    for (std::size_t i = dims.size(); i-- > 0;) {
      const auto size = static_cast<std::uint64_t>(dims[i].size);
      index_[i] = static_cast<std::int64_t>(start % size);
      offset_ += index_[i] * dims[i].stride_elements;
      start /= size;
    }
  }

  std::int64_t offset_elements() const { return offset_; }

  void advance() {
    for (std::size_t i = dims_.size(); i-- > 0;) {
      offset_ += dims_[i].stride_elements;
      if (++index_[i] < dims_[i].size) return;
      index_[i] = 0;
      offset_ -= dims_[i].size * dims_[i].stride_elements;
    }
  }

 private:
  std::span<const Dim> dims_;
  std::vector<std::int64_t> index_;
  std::int64_t offset_ = 0;
};

template <std::size_t kBytes>
void copy_strided(const std::byte* source, std::ptrdiff_t stride_bytes, std::uint64_t count,
                  std::byte* out) {
  for (std::uint64_t i = 0; i < count; ++i, source += stride_bytes, out += kBytes) {
    std::memcpy(out, source, kBytes);
  }
}

void copy_row(const std::byte* source, std::int64_t stride_elements, std::uint64_t count,
              std::byte* out, std::uint32_t element_bytes) {
  if (stride_elements == 1) {
    std::memcpy(out, source, count * element_bytes);
    return;
  }
  const std::ptrdiff_t stride_bytes = stride_elements * std::ptrdiff_t{element_bytes};
  switch (element_bytes) {
    case 1:
      return copy_strided<1>(source, stride_bytes, count, out);
    case 2:
      return copy_strided<2>(source, stride_bytes, count, out);
    case 4:
      return copy_strided<4>(source, stride_bytes, count, out);
    case 8:
      return copy_strided<8>(source, stride_bytes, count, out);
    default:
      return copy_strided<16>(source, stride_bytes, count, out);
  }
}

std::uint64_t product_of_sizes(std::span<const Dim> dims) {
  std::uint64_t product = 1;
  for (const Dim& dim : dims) product *= static_cast<std::uint64_t>(dim.size);
  return product;
}

/// The dimension whose neighbours lie closest in the source, if that is not the innermost: its
/// rows are then columns of the source, and a transpose reads each cache line once.
std::optional<std::size_t> find_transposed(std::span<const Dim> dims) {
  std::size_t best = dims.size() - 1;
  for (std::size_t i = best; i-- > 0;) {
    const std::int64_t stride = std::abs(dims[i].stride_elements);
    if (stride != 0 && stride < std::abs(dims[best].stride_elements)) best = i;
  }
  if (best == dims.size() - 1) return std::nullopt;
  return best;
}

}  // namespace

Result<Gather> Gather::make(std::span<const std::int64_t> shape,
                            std::span<const std::int64_t> strides, std::uint32_t element_bytes) {
  constexpr std::uint32_t kSizes[] = {1, 2, 4, 8, 16};
  if (std::find(std::begin(kSizes), std::end(kSizes), element_bytes) == std::end(kSizes)) {
    return fail(Error(ErrorCode::kInvalidArgument, "elements of this size cannot be gathered")
                    .wanted("1, 2, 4, 8 or 16 bytes", std::to_string(element_bytes)));
  }
  // Any offset that keeps negative strides inside would do: only the distances are checked here.
  KILTER_ASSIGN(const std::uint64_t count, kilter::element_count(shape));
  std::vector<std::int64_t> distances(strides.begin(), strides.end());
  for (std::int64_t& stride : distances) stride = stride < 0 ? -(stride + 1) : stride;
  KILTER_TRY(view_extent(shape, distances, 0));

  std::vector<Dim> dims = coalesce_dims(shape, strides);
  if (dims.empty()) dims.push_back({1, 1});
  return Gather(std::move(dims), count, element_bytes);
}

Gather::Gather(std::vector<Dim> dims, std::uint64_t count, std::uint32_t element_bytes)
    : dims_(std::move(dims)),
      count_(count),
      element_bytes_(element_bytes),
      contiguous_(count == 0 || (dims_.size() == 1 && dims_[0].stride_elements == 1)),
      transposed_(find_transposed(dims_)) {}

void Gather::run(const std::byte* base, std::uint64_t first, std::uint64_t count,
                 std::byte* out) const {
  if (count == 0) return;
  if (!transposed_) return run_rows(base, first, count, out);

  // Whole slabs (one index of the transposed dimension each) go as blocks, the ends row by row.
  const std::uint64_t slab =
      product_of_sizes(std::span<const Dim>(dims_).subspan(*transposed_ + 1));
  const std::uint64_t head = std::min((slab - first % slab) % slab, count);
  const std::uint64_t slabs = (count - head) / slab;
  const std::uint64_t tail = count - head - slabs * slab;
  run_rows(base, first, head, out);
  run_slabs(base, (first + head) / slab, slabs, out + head * element_bytes_);
  run_rows(base, first + count - tail, tail, out + (count - tail) * element_bytes_);
}

void Gather::run_rows(const std::byte* base, std::uint64_t first, std::uint64_t count,
                      std::byte* out) const {
  if (count == 0) return;
  const Dim inner = dims_.back();
  const auto row = static_cast<std::uint64_t>(inner.size);
  Odometer at(std::span<const Dim>(dims_).first(dims_.size() - 1), first / row);
  std::uint64_t column = first % row;
  while (count > 0) {
    const std::uint64_t step = std::min(row - column, count);
    const std::int64_t offset =
        at.offset_elements() + static_cast<std::int64_t>(column) * inner.stride_elements;
    copy_row(base + offset * std::ptrdiff_t{element_bytes_}, inner.stride_elements, step, out,
             element_bytes_);
    out += step * element_bytes_;
    count -= step;
    column = 0;
    at.advance();
  }
}

void Gather::run_slabs(const std::byte* base, std::uint64_t first, std::uint64_t count,
                       std::byte* out) const {
  if (count == 0) return;
  const std::span<const Dim> dims(dims_);
  const Dim across = dims[*transposed_];
  const auto size = static_cast<std::uint64_t>(across.size);
  const std::uint64_t slab_bytes =
      product_of_sizes(dims.subspan(*transposed_ + 1)) * element_bytes_;
  Odometer outer(dims.first(*transposed_), first / size);
  std::uint64_t begin = first % size;
  while (count > 0) {
    const std::uint64_t step = std::min(size - begin, count);
    const std::int64_t offset =
        outer.offset_elements() + static_cast<std::int64_t>(begin) * across.stride_elements;
    run_block(base + offset * std::ptrdiff_t{element_bytes_}, step, out);
    out += step * slab_bytes;
    count -= step;
    begin = 0;
    outer.advance();
  }
}

void Gather::run_block(const std::byte* base, std::uint64_t rows, std::byte* out) const {
  const std::span<const Dim> dims(dims_);
  const std::span<const Dim> middle =
      dims.subspan(*transposed_ + 1, dims_.size() - *transposed_ - 2);
  const Dim inner = dims.back();
  const std::uint64_t planes = product_of_sizes(middle);
  TransposeBlock block;
  block.element_bytes = element_bytes_;
  block.source_row = dims[*transposed_].stride_elements;
  block.source_col = inner.stride_elements;
  block.target_row = static_cast<std::int64_t>(planes) * inner.size;
  block.cols = inner.size;
  // A strip of rows goes through all planes before the next: its cache lines serve them all.
  for (std::uint64_t row = 0; row < rows; row += kBlockRows) {
    block.rows = static_cast<std::int64_t>(std::min(rows - row, kBlockRows));
    const auto source_row = static_cast<std::int64_t>(row) * block.source_row;
    Odometer plane(middle, 0);
    for (std::uint64_t p = 0; p < planes; ++p, plane.advance()) {
      const std::int64_t offset = source_row + plane.offset_elements();
      block.source = base + offset * std::ptrdiff_t{element_bytes_};
      block.target =
          out + (row * planes + p) * static_cast<std::uint64_t>(inner.size) * element_bytes_;
      transpose(block);
    }
  }
}

void Gather::run_reference(const std::byte* base, std::uint64_t first, std::uint64_t count,
                           std::byte* out) const {
  for (std::uint64_t i = 0; i < count; ++i) {
    const Odometer at(dims_, first + i);
    std::memcpy(out + i * element_bytes_,
                base + at.offset_elements() * std::ptrdiff_t{element_bytes_}, element_bytes_);
  }
}

}  // namespace kilter
