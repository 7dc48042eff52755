#include "ops/factors/matrix_rows.h"

#include <algorithm>
#include <cstring>

#include "base/raw_bytes.h"
#include "base/try.h"
#include "tensor/kernels/float_values.h"
#include "tensor/kernels/panel_product.h"

namespace kilter::ops {
namespace {

constexpr std::size_t kRowBlockBytes = 1 << 20, kRowWidenElements = 2048;

class DifferenceRows final : public MatrixRows {
 public:
  DifferenceRows(TensorMatrix minuend, TensorMatrix subtrahend, std::string name)
      : minuend_(std::move(minuend)), subtrahend_(std::move(subtrahend)), name_(std::move(name)) {
    const TensorInfo& info = info_of(minuend_);
    rows_ = info.shape.empty() ? 1 : static_cast<std::size_t>(info.shape[0]);
    columns_ = rows_ == 0 ? 0 : static_cast<std::size_t>(info.element_count()) / rows_;
  }

  std::size_t rows() const override { return rows_; }
  std::size_t columns() const override { return columns_; }
  std::string name() const override { return name_; }

  Status read(std::size_t first, std::size_t count, float* out) const override {
    RawBytes a, b;
    KILTER_TRY(read_rows(minuend_, first, count, a));
    KILTER_TRY(read_rows(subtrahend_, first, count, b));
    const DType dtype_a = info_of(minuend_).dtype, dtype_b = info_of(subtrahend_).dtype;
    const std::size_t width_a = dtype_row(dtype_a).bits / 8, width_b = dtype_row(dtype_b).bits / 8;
    double left[kRowWidenElements], right[kRowWidenElements];
    for (std::size_t at = 0; at < count * columns_; at += kRowWidenElements) {
      const std::size_t some = std::min(kRowWidenElements, count * columns_ - at);
      widen_floats(dtype_a, a.data() + at * width_a, some, left);
      widen_floats(dtype_b, b.data() + at * width_b, some, right);
      subtract_to_float(std::span(left, some), right, out + at);
    }
    return ok();
  }

 private:
  static const TensorInfo& info_of(const TensorMatrix& matrix) {
    return matrix.source->index().tensors[matrix.tensor];
  }

  Status read_rows(const TensorMatrix& matrix, std::size_t first, std::size_t count,
                   RawBytes& out) const {
    const std::size_t width = dtype_row(info_of(matrix).dtype).bits / 8;
    out.resize(count * columns_ * width);
    return matrix.source->read_tensor(matrix.tensor, first * columns_ * width, out);
  }

  TensorMatrix minuend_, subtrahend_;
  std::string name_;
  std::size_t rows_ = 0, columns_ = 0;
};

class MemoryRows final : public MatrixRows {
 public:
  MemoryRows(std::size_t rows, std::size_t columns, std::vector<float> values, std::string name)
      : rows_(rows), columns_(columns), values_(std::move(values)), name_(std::move(name)) {
    KILTER_CHECK(values_.size() == rows_ * columns_);
  }

  std::size_t rows() const override { return rows_; }
  std::size_t columns() const override { return columns_; }
  std::string name() const override { return name_; }

  Status read(std::size_t first, std::size_t count, float* out) const override {
    std::copy_n(values_.data() + first * columns_, count * columns_, out);
    return ok();
  }

 private:
  std::size_t rows_, columns_;
  std::vector<float> values_;
  std::string name_;
};

}  // namespace

std::unique_ptr<MatrixRows> difference_rows(TensorMatrix minuend, TensorMatrix subtrahend,
                                            std::string name) {
  return std::make_unique<DifferenceRows>(std::move(minuend), std::move(subtrahend),
                                          std::move(name));
}

std::unique_ptr<MatrixRows> memory_rows(std::size_t rows, std::size_t columns,
                                        std::vector<float> values, std::string name) {
  return std::make_unique<MemoryRows>(rows, columns, std::move(values), std::move(name));
}

RowBlocks::RowBlocks(const MatrixRows& matrix, std::uint64_t keep_bytes_max) : matrix_(matrix) {
  const std::size_t row_bytes = std::max<std::size_t>(matrix.columns() * sizeof(float), 1);
  keep_ = matrix.rows() <= keep_bytes_max / row_bytes;
  block_rows_ = std::max<std::size_t>(kRowBlockBytes / row_bytes / 8 * 8, 8);
}

Status RowBlocks::each(const RunContext& context, const UseRows& use) {
  const std::size_t rows = matrix_.rows(), columns = matrix_.columns();
  values_.resize((keep_ ? rows : std::min(block_rows_, rows)) * columns);
  for (std::size_t first = 0; first < rows; first += block_rows_) {
    KILTER_TRY(context.check());
    const std::size_t count = std::min(block_rows_, rows - first);
    float* const block = values_.data() + (keep_ ? first * columns : 0);
    if (!filled_) KILTER_TRY(matrix_.read(first, count, block));
    KILTER_TRY(use(first, count, block));
  }
  filled_ = keep_;
  return ok();
}

}  // namespace kilter::ops
