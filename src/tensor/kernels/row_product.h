// Small dense products in binary64: rows of a weight from an adapter's two factors.
#pragma once

#include <cstddef>

namespace kilter {

/// out [rows × columns] = left [rows × inner] · right [inner × columns], all packed in C order.
///
/// Each element is the sum over the inner dimension in ascending order, one rounding for each
/// product and one for each sum: the same on every processor and however the rows are cut.
void row_product(const double* left, const double* right, std::size_t rows, std::size_t inner,
                 std::size_t columns, double* out);

/// One element at a time: what tests compare the other with.
void row_product_reference(const double* left, const double* right, std::size_t rows,
                           std::size_t inner, std::size_t columns, double* out);

}  // namespace kilter
