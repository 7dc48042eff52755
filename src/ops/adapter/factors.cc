#include "ops/adapter/factors.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/try.h"
#include "flow/source.h"
#include "tensor/kernels/float_values.h"
#include "tensor/kernels/row_product.h"

namespace kilter::ops {
namespace {

using model::AdapterFactor;
using model::AdapterModule;
using model::FactorRole;

/// A matrix in the dtype it was stored in, widened piece by piece.
class FactorMatrix {
 public:
  FactorMatrix() = default;
  FactorMatrix(DType dtype, std::size_t rows, std::size_t columns, std::vector<std::byte> bytes)
      : dtype_(dtype), rows_(rows), columns_(columns), bytes_(std::move(bytes)) {}
  explicit FactorMatrix(std::size_t rows, std::size_t columns, const std::vector<double>& values)
      : dtype_(DType::kF64), rows_(rows), columns_(columns), bytes_(values.size() * 8) {
    if (!values.empty()) std::memcpy(bytes_.data(), values.data(), bytes_.size());
  }

  std::size_t rows() const { return rows_; }
  std::size_t columns() const { return columns_; }

  /// out [block.rows × block.columns]
  void widen(const MatrixBlock& block, std::vector<double>* out) const {
    out->resize(block.rows * block.columns);
    const std::size_t width = element_bytes();
    for (std::size_t r = 0; r < block.rows; ++r) {
      const std::size_t at = (block.first_row + r) * columns_ + block.first_column;
      widen_floats(dtype_, bytes_.data() + at * width, block.columns,
                   out->data() + r * block.columns);
    }
  }

  FactorMatrix turned() const {
    const std::size_t width = element_bytes();
    std::vector<std::byte> out(bytes_.size());
    constexpr std::size_t kTurn = 64;  // squares that stay in the first cache
    for (std::size_t r0 = 0; r0 < rows_; r0 += kTurn)
      for (std::size_t c0 = 0; c0 < columns_; c0 += kTurn)
        for (std::size_t r = r0; r < std::min(r0 + kTurn, rows_); ++r)
          for (std::size_t c = c0; c < std::min(c0 + kTurn, columns_); ++c)
            std::memcpy(out.data() + (c * rows_ + r) * width,
                        bytes_.data() + (r * columns_ + c) * width, width);
    return {dtype_, columns_, rows_, std::move(out)};
  }

 private:
  std::size_t element_bytes() const { return dtype_row(dtype_).bits / 8U; }

  DType dtype_ = DType::kF64;
  std::size_t rows_ = 0, columns_ = 0;
  std::vector<std::byte> bytes_;
};

/// left · right, or one matrix as it is.
class FactorProduct {
 public:
  FactorProduct() = default;
  explicit FactorProduct(FactorMatrix whole) : right_(std::move(whole)) {}
  FactorProduct(FactorMatrix left, FactorMatrix right)
      : product_(true), left_(std::move(left)), right_(std::move(right)) {}

  std::size_t rows() const { return product_ ? left_.rows() : right_.rows(); }
  std::size_t columns() const { return right_.columns(); }

  void compute(const MatrixBlock& block, BlockScratch* scratch, double* out) const {
    if (!product_) {
      right_.widen(block, &scratch->right);
      std::copy(scratch->right.begin(), scratch->right.end(), out);
      return;
    }
    const std::size_t inner = left_.columns();
    left_.widen({block.first_row, block.rows, 0, inner}, &scratch->left);
    right_.widen({0, inner, block.first_column, block.columns}, &scratch->right);
    row_product(scratch->left.data(), scratch->right.data(), block.rows, inner, block.columns, out);
  }

  FactorProduct turned() const {
    return product_ ? FactorProduct(right_.turned(), left_.turned())
                    : FactorProduct(right_.turned());
  }

 private:
  bool product_ = false;
  FactorMatrix left_, right_;
};

class LoraDelta : public Delta {
 public:
  explicit LoraDelta(FactorProduct product) : product_(std::move(product)) {}
  void compute(const MatrixBlock& block, BlockScratch* scratch, double* out) const override {
    product_.compute(block, scratch, out);
  }

 private:
  FactorProduct product_;
};

class LohaDelta : public Delta {
 public:
  LohaDelta(FactorProduct one, FactorProduct two) : one_(std::move(one)), two_(std::move(two)) {}
  void compute(const MatrixBlock& block, BlockScratch* scratch, double* out) const override {
    const std::size_t count = block.rows * block.columns;
    scratch->product.resize(count);
    one_.compute(block, scratch, out);
    two_.compute(block, scratch, scratch->product.data());
    for (std::size_t i = 0; i < count; ++i) out[i] *= scratch->product[i];
  }

 private:
  FactorProduct one_, two_;
};

/// kron(w1, w2): element (i·p + k, j·q + l) is w1[i, j] · w2[k, l]; w2's columns hold the kernel.
class LokrDelta : public Delta {
 public:
  LokrDelta(const FactorMatrix& one, FactorProduct two)
      : one_columns_(one.columns()), two_(std::move(two)) {
    one.widen({0, one.rows(), 0, one.columns()}, &one_);
  }

  void compute(const MatrixBlock& block, BlockScratch* scratch, double* out) const override {
    const std::size_t p = two_.rows(), q = two_.columns();
    for (std::size_t r = 0; r < block.rows;) {
      const std::size_t row = block.first_row + r, rows = std::min(p - row % p, block.rows - r);
      for (std::size_t c = 0; c < block.columns;) {
        const std::size_t column = block.first_column + c;
        const std::size_t columns = std::min(q - column % q, block.columns - c);
        scratch->second.resize(rows * columns);
        two_.compute({row % p, rows, column % q, columns}, scratch, scratch->second.data());
        const double weight = one_[row / p * one_columns_ + column / q];
        for (std::size_t i = 0; i < rows; ++i)
          for (std::size_t j = 0; j < columns; ++j)
            out[(r + i) * block.columns + c + j] = weight * scratch->second[i * columns + j];
        c += columns;
      }
      r += rows;
    }
  }

 private:
  std::size_t one_columns_;
  std::vector<double> one_;
  FactorProduct two_;
};

class FactorLoader {
 public:
  FactorLoader(const WeightsInput& adapter, const AdapterModule& module, const WeightLayout& layout)
      : adapter_(adapter), module_(module), layout_(layout) {}

  Result<std::unique_ptr<Delta>> run() {
    switch (module_.kind) {
      case model::ModuleKind::kLora:
        return lora();
      case model::ModuleKind::kLoha:
        return loha();
      case model::ModuleKind::kLokr:
        return lokr();
      default:
        return fail(ErrorCode::kInternal, "a module without a product");
    }
  }

 private:
  /// [first dimension, all further ones]
  Result<FactorMatrix> matrix(FactorRole role) const {
    const AdapterFactor& factor = *module_.find(role);
    const TensorInfo& info = adapter_.checkpoint.tensors()[factor.tensor];
    std::vector<std::byte> bytes(info.bytes());
    KILTER_TRY(adapter_.checkpoint.source()->read_tensor(factor.tensor, 0, bytes));
    const auto rows = static_cast<std::size_t>(factor.shape.front());
    const std::size_t columns = rows == 0 ? 0 : info.element_count() / rows;
    return FactorMatrix(info.dtype, rows, columns, std::move(bytes));
  }

  /// A Tucker core [r, s, …] with right [s, in]: [r, in · …] in binary64.
  Result<FactorMatrix> core_product(FactorRole core_role, const FactorMatrix& right) const {
    const AdapterFactor& core = *module_.find(core_role);
    KILTER_ASSIGN(const std::vector<double> values, load_values(adapter_, core));
    std::vector<double> wide;
    right.widen({0, right.rows(), 0, right.columns()}, &wide);
    const auto outer = static_cast<std::size_t>(core.shape[0]);
    const auto inner = static_cast<std::size_t>(core.shape[1]);
    const std::size_t points = outer * inner == 0 ? 0 : values.size() / (outer * inner);
    const std::size_t in = right.columns();
    std::vector<double> out(outer * in * points, 0.0);
    for (std::size_t r = 0; r < outer; ++r)
      for (std::size_t s = 0; s < inner; ++s)
        for (std::size_t i = 0; i < in; ++i)
          for (std::size_t p = 0; p < points; ++p)
            out[(r * in + i) * points + p] +=
                values[(r * inner + s) * points + p] * wide[s * in + i];
    return FactorMatrix(outer, in * points, out);
  }

  Result<std::unique_ptr<Delta>> lora() const {
    KILTER_ASSIGN(FactorMatrix up, matrix(FactorRole::kUp));
    KILTER_ASSIGN(FactorMatrix down, matrix(FactorRole::kDown));
    if (module_.find(FactorRole::kMid) != nullptr) {
      KILTER_ASSIGN(down, core_product(FactorRole::kMid, down));
    }
    FactorProduct product(std::move(up), std::move(down));
    if (layout_.transposed) product = product.turned();
    return std::unique_ptr<Delta>(std::make_unique<LoraDelta>(std::move(product)));
  }

  Result<FactorProduct> pair(FactorRole a_role, FactorRole b_role, FactorRole core_role) const {
    KILTER_ASSIGN(FactorMatrix a, matrix(a_role));
    KILTER_ASSIGN(FactorMatrix b, matrix(b_role));
    if (module_.find(core_role) == nullptr) return FactorProduct(std::move(a), std::move(b));
    KILTER_ASSIGN(FactorMatrix right, core_product(core_role, b));
    return FactorProduct(a.turned(), std::move(right));
  }

  Result<std::unique_ptr<Delta>> loha() const {
    KILTER_ASSIGN(FactorProduct one, pair(FactorRole::kW1A, FactorRole::kW1B, FactorRole::kT1));
    KILTER_ASSIGN(FactorProduct two, pair(FactorRole::kW2A, FactorRole::kW2B, FactorRole::kT2));
    if (layout_.transposed) {
      one = one.turned();
      two = two.turned();
    }
    return std::unique_ptr<Delta>(std::make_unique<LohaDelta>(std::move(one), std::move(two)));
  }

  Result<FactorProduct> half(FactorRole whole, FactorRole a, FactorRole b, FactorRole core) const {
    if (module_.find(whole) == nullptr) return pair(a, b, core);
    KILTER_ASSIGN(FactorMatrix plain, matrix(whole));
    return FactorProduct(std::move(plain));
  }

  /// w1 is small: it is multiplied out once.
  Result<FactorMatrix> first_half() const {
    if (module_.find(FactorRole::kW1) != nullptr) return matrix(FactorRole::kW1);
    KILTER_ASSIGN(const FactorProduct product,
                  pair(FactorRole::kW1A, FactorRole::kW1B, FactorRole::kT1));
    std::vector<double> values(product.rows() * product.columns());
    BlockScratch scratch;
    product.compute({0, product.rows(), 0, product.columns()}, &scratch, values.data());
    return FactorMatrix(product.rows(), product.columns(), values);
  }

  Result<std::unique_ptr<Delta>> lokr() const {
    KILTER_ASSIGN(FactorMatrix one, first_half());
    KILTER_ASSIGN(FactorProduct two,
                  half(FactorRole::kW2, FactorRole::kW2A, FactorRole::kW2B, FactorRole::kT2));
    if (layout_.transposed) {
      one = one.turned();
      two = two.turned();
    }
    return std::unique_ptr<Delta>(std::make_unique<LokrDelta>(one, std::move(two)));
  }

  const WeightsInput& adapter_;
  const AdapterModule& module_;
  const WeightLayout& layout_;
};

}  // namespace

std::uint64_t factor_bytes(const AdapterModule& module) {
  std::uint64_t bytes = 0;
  for (const AdapterFactor& factor : module.factors) {
    std::uint64_t elements = 1;
    for (const std::int64_t dimension : factor.shape)
      elements *= static_cast<std::uint64_t>(dimension);
    bytes += elements * dtype_row(factor.dtype).bits / 8;
  }
  return bytes;
}

Result<std::vector<double>> load_values(const WeightsInput& adapter, const AdapterFactor& factor) {
  const TensorInfo& info = adapter.checkpoint.tensors()[factor.tensor];
  std::vector<std::byte> bytes(info.bytes());
  KILTER_TRY(adapter.checkpoint.source()->read_tensor(factor.tensor, 0, bytes));
  std::vector<double> values(info.element_count());
  widen_floats(info.dtype, bytes.data(), values.size(), values.data());
  return values;
}

Result<std::unique_ptr<Delta>> load_delta(const WeightsInput& adapter, const AdapterModule& module,
                                          const WeightLayout& layout) {
  return FactorLoader(adapter, module, layout).run();
}

}  // namespace kilter::ops
