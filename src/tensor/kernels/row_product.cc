#include "tensor/kernels/row_product.h"

// Compiled once for each instruction set, with -ffp-contract=off: Mul and Add stay two roundings.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tensor/kernels/row_product.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace kilter::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// Four rows by two vectors stay in registers over the whole inner dimension.
template <std::size_t kRows>
HWY_INLINE void product_strip(const double* left, const double* right, std::size_t inner,
                              std::size_t columns, double* out) {
  const hn::ScalableTag<double> d;
  const std::size_t lanes = hn::Lanes(d);
  std::size_t c = 0;
  for (; c + 2 * lanes <= columns; c += 2 * lanes) {
    auto a0 = hn::Zero(d), b0 = a0, a1 = a0, b1 = a0, a2 = a0, b2 = a0, a3 = a0, b3 = a0;
    for (std::size_t k = 0; k < inner; ++k) {
      const auto x = hn::LoadU(d, right + k * columns + c);
      const auto y = hn::LoadU(d, right + k * columns + c + lanes);
      const auto w0 = hn::Set(d, left[k]);
      a0 = hn::Add(a0, hn::Mul(w0, x));
      b0 = hn::Add(b0, hn::Mul(w0, y));
      if constexpr (kRows == 4) {
        const auto w1 = hn::Set(d, left[inner + k]), w2 = hn::Set(d, left[2 * inner + k]),
                   w3 = hn::Set(d, left[3 * inner + k]);
        a1 = hn::Add(a1, hn::Mul(w1, x));
        b1 = hn::Add(b1, hn::Mul(w1, y));
        a2 = hn::Add(a2, hn::Mul(w2, x));
        b2 = hn::Add(b2, hn::Mul(w2, y));
        a3 = hn::Add(a3, hn::Mul(w3, x));
        b3 = hn::Add(b3, hn::Mul(w3, y));
      }
    }
    hn::StoreU(a0, d, out + c);
    hn::StoreU(b0, d, out + c + lanes);
    if constexpr (kRows == 4) {
      hn::StoreU(a1, d, out + columns + c);
      hn::StoreU(b1, d, out + columns + c + lanes);
      hn::StoreU(a2, d, out + 2 * columns + c);
      hn::StoreU(b2, d, out + 2 * columns + c + lanes);
      hn::StoreU(a3, d, out + 3 * columns + c);
      hn::StoreU(b3, d, out + 3 * columns + c + lanes);
    }
  }
  for (; c < columns; ++c) {
    for (std::size_t r = 0; r < kRows; ++r) {
      double sum = 0;
      for (std::size_t k = 0; k < inner; ++k) sum += left[r * inner + k] * right[k * columns + c];
      out[r * columns + c] = sum;
    }
  }
}

void row_product(const double* left, const double* right, std::size_t rows, std::size_t inner,
                 std::size_t columns, double* out) {
  std::size_t r = 0;
  for (; r + 4 <= rows; r += 4)
    product_strip<4>(left + r * inner, right, inner, columns, out + r * columns);
  for (; r < rows; ++r)
    product_strip<1>(left + r * inner, right, inner, columns, out + r * columns);
}

}  // namespace kilter::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace kilter {
namespace {
HWY_EXPORT(row_product);
}  // namespace

void row_product(const double* left, const double* right, std::size_t rows, std::size_t inner,
                 std::size_t columns, double* out) {
  HWY_DYNAMIC_DISPATCH(row_product)(left, right, rows, inner, columns, out);
}

void row_product_reference(const double* left, const double* right, std::size_t rows,
                           std::size_t inner, std::size_t columns, double* out) {
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < columns; ++c) {
      double sum = 0;
      for (std::size_t k = 0; k < inner; ++k) sum += left[r * inner + k] * right[k * columns + c];
      out[r * columns + c] = sum;
    }
  }
}

}  // namespace kilter
#endif
