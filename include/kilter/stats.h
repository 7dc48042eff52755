// kilter stats ADDR: the numbers in a checkpoint, tensor by tensor. Owned by the floor `ops`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kilter/checkpoint.h"
#include "kilter/dtype.h"

namespace kilter {

struct StatsOptions {
  std::vector<std::string> only;  ///< globs of names; empty: all tensors
  /// A channel is an outlier where its norm is above the mean of its kind by more than so many
  /// deviations.
  double outlier_deviations = 5;
  unsigned thread_count = 0;
  OpenOptions open;
  RunContext context;
};

/// How many numbers fall between edges that are multiples of a power of two: bin i holds
/// [first + i * width, first + (i + 1) * width). At most 64 bins, the narrowest that do.
struct ValueHistogram {
  double first = 0, width = 0;
  std::vector<std::uint64_t> counts;  ///< of finite numbers; the first and last are not 0
};

/// How many numbers have which size: counts[i] of them lie in [2^(first + i), 2^(first + i + 1)).
/// Neither zero nor what is not finite. f64 below 2^-1022 counts as 2^-1023.
struct ExponentHistogram {
  int first = 0;
  std::vector<std::uint64_t> counts;
};

/// Sums in binary64. Everything but the counts is over finite numbers; complex elements are two.
struct NumberStats {
  std::uint64_t numbers = 0;
  std::uint64_t finite = 0, nan = 0, infinite = 0, zero = 0;
  std::uint64_t subnormal = 0;         ///< not zero, smaller than the dtype's normal numbers
  double min = 0, max = 0;             ///< 0 where nothing is finite
  double mean = 0, deviation = 0;      ///< of the population: divided by n
  double l1 = 0, l2 = 0, largest = 0;  ///< sum of |x|, root of the sum of squares, max |x|
  double skewness = 0;
  double kurtosis = 0;  ///< in excess of the normal distribution's 3; 0 where nothing varies
  ValueHistogram histogram;
  ExponentHistogram exponents;
};

/// The slices of a tensor along one dimension, by their L2 norms.
struct ChannelStats {
  std::uint64_t count = 0;
  std::uint64_t dead = 0;                       ///< nothing but zeros
  double mean = 0, deviation = 0, largest = 0;  ///< of the norms
  std::uint64_t outlier_count = 0;
  std::vector<std::pair<std::uint64_t, double>> outliers;  ///< index, norm: the largest, at most 8
};

struct TensorStats {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<std::int64_t> shape;
  bool has_numbers = true;  ///< false: raw bits, nothing below is filled in
  NumberStats numbers;
  /// Slices along the first and the second dimension, of tensors with two or more; not of those
  /// with more than 524,288 of them.
  std::optional<ChannelStats> rows, columns;
};

struct CheckpointStats {
  std::string address;
  std::vector<TensorStats> tensors;  ///< in the checkpoint's order
  NumberStats total;                 ///< over the tensors of floats and complex numbers
  std::uint64_t read_bytes = 0;
  double seconds = 0;
};

/// Reads every tensor once. Results do not depend on the number of threads; memory does not grow
/// with the tensors but for a few doubles a channel.
/// Errors: as open_checkpoint(); kInvalidArgument where no tensor fits `only`; kIo, kCorrupt,
/// kCancelled.
Result<CheckpointStats> checkpoint_stats(const std::string& address,
                                         const StatsOptions& options = {});
/// Source: spec/cli-json.md.
std::string stats_json(const CheckpointStats& stats);

}  // namespace kilter
