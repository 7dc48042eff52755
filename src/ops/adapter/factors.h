// An adapter's factors in memory, and the difference they make, block by block.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kilter/dtype.h"
#include "kilter/error.h"

#include "model/adapters/description.h"
#include "ops/weights/weights_input.h"

namespace kilter::ops {

/// A part of a weight seen as a matrix: [rows, all further dimensions].
struct MatrixBlock {
  std::size_t first_row = 0, rows = 0;
  std::size_t first_column = 0, columns = 0;
};

/// Memory a block needs besides its values; kept by the thread that computes.
struct BlockScratch {
  std::vector<double> left, right, product, second;
};

/// What a module's factors add to its weight, before any scale. Sums in binary64, the inner
/// dimension in ascending order: the same however blocks are cut.
class Delta {
 public:
  virtual ~Delta() = default;
  /// out [block.rows × block.columns].
  virtual void compute(const MatrixBlock& block, BlockScratch* scratch, double* out) const = 0;
};

/// The weight as its layer stores it.
struct WeightLayout {
  std::uint64_t rows = 0, columns = 0;
  bool transposed = false;  ///< [in, out] where factors make [out, in]
};

/// Bytes of all factors of a module.
std::uint64_t factor_bytes(const model::AdapterModule& module);

/// Reads the factors. `module` passed check_module() and makes a weight of this layout; it is
/// kLora, kLoha or kLokr. Errors: from reading.
Result<std::unique_ptr<Delta>> load_delta(const WeightsInput& adapter,
                                          const model::AdapterModule& module,
                                          const WeightLayout& layout);

/// Every number of one tensor as binary64.
Result<std::vector<double>> load_values(const WeightsInput& adapter,
                                        const model::AdapterFactor& factor);

}  // namespace kilter::ops
