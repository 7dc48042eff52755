// A matrix that is read row by row, as often as wanted: what low-rank factorizations work on.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kilter/error.h"
#include "kilter/progress.h"

#include "flow/source.h"

namespace kilter::ops {

/// Elements are binary32. Safe to read from several threads.
class MatrixRows {
 public:
  virtual ~MatrixRows() = default;
  virtual std::size_t rows() const = 0;
  virtual std::size_t columns() const = 0;
  /// Rows [first, first + count) into `out` [count][columns].
  virtual Status read(std::size_t first, std::size_t count, float* out) const = 0;
  /// For messages.
  virtual std::string name() const = 0;
};

/// One tensor of a source, taken as a matrix: rows are its first dimension.
struct TensorMatrix {
  const Source* source = nullptr;
  std::size_t tensor = 0;
  std::string path;  ///< address, for messages
};

/// minuend - subtrahend, each difference rounded once to binary32. Both have the same shape and
/// dtypes of has_float_values(). `name` of the tensor, for messages. Sources outlive it.
std::unique_ptr<MatrixRows> difference_rows(TensorMatrix minuend, TensorMatrix subtrahend,
                                            std::string name);

/// A matrix in memory.
std::unique_ptr<MatrixRows> memory_rows(std::size_t rows, std::size_t columns,
                                        std::vector<float> values, std::string name);

/// Calls `use(first, count, rows)` for blocks of all rows in order.
using UseRows = std::function<Status(std::size_t first, std::size_t count, const float* values)>;

/// Reads a matrix block by block; once, into memory, where it takes at most `keep_bytes_max`.
class RowBlocks {
 public:
  RowBlocks(const MatrixRows& matrix, std::uint64_t keep_bytes_max);
  const MatrixRows& matrix() const { return matrix_; }
  /// Errors: kCancelled; as the matrix reports.
  Status each(const RunContext& context, const UseRows& use);

 private:
  const MatrixRows& matrix_;
  bool keep_ = false, filled_ = false;
  std::size_t block_rows_ = 1;
  std::vector<float> values_;
};

}  // namespace kilter::ops
