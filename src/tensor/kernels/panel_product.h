// Products of a tall or wide matrix with a narrow one: what low-rank factorizations spend time on.
//
// Every element of the result is summed in the order of the inner index, so neither the
// instruction set nor the way the work is cut changes a bit.
#pragma once

#include <cstddef>
#include <span>

namespace kilter {

/// Widths of panels are multiples of this; what is too much holds zeros.
inline constexpr std::size_t kPanelLanes = 8;

/// Element (i, k) is data[i * row_stride + k * depth_stride]: a matrix or its transpose.
struct StridedFloats {
  const float* data = nullptr;
  std::size_t rows = 0, depth = 0;
  std::size_t row_stride = 0, depth_stride = 1;
};

/// c [a.rows][c_stride] += a · b, b [a.depth][b_stride]; the first `width` columns of both. In
/// binary64, where the product of two binary32 numbers is exact: fused or not makes no difference.
/// `width` and the strides are multiples of kPanelLanes.
void add_panel_product(const StridedFloats& a, const float* b, std::size_t b_stride,
                       std::size_t width, double* c, std::size_t c_stride);

/// The same with b in binary64: each product is rounded, then the sum.
void add_panel_product(const StridedFloats& a, const double* b, std::size_t b_stride,
                       std::size_t width, double* c, std::size_t c_stride);

/// Sum of squares in binary64, in eight lanes whatever the instruction set.
double sum_of_squares(std::span<const float> values);

/// out = a - b, rounded once to binary32; `out` may be neither.
void subtract_to_float(std::span<const double> a, const double* b, float* out);

/// Sum of (values[i] - wanted[i])² as above, the difference in binary64.
double sum_of_squared_errors(std::span<const double> values, const float* wanted);

}  // namespace kilter
