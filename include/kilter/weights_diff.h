// kilter diff A B: what differs between two checkpoints, in numbers. Owned by the floor `ops`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kilter/checkpoint.h"
#include "kilter/dtype.h"

namespace kilter {

struct DiffOptions {
  unsigned thread_count = 0;
  OpenOptions open;
  RunContext context;
};

enum class WeightChange : std::uint8_t {
  kIdentical,           ///< the same dtype, shape and bits
  kEqualAfterRounding,  ///< the wider one, rounded to the narrower dtype, is the other
  kChanged,
  kShapeChanged,  ///< nothing was compared
  kTypeChanged,   ///< dtypes that cannot be compared as numbers
  kOnlyInA,
  kOnlyInB,
};
std::string_view change_name(WeightChange change);

/// Sums are over elements that are finite in both; binary64.
struct TensorDiff {
  std::string name;
  WeightChange change = WeightChange::kIdentical;
  DType dtype_a = DType::kF32, dtype_b = DType::kF32;
  std::vector<std::int64_t> shape_a, shape_b;
  std::uint64_t elements = 0;    ///< compared
  std::uint64_t changed = 0;     ///< elements whose values differ (bits, where they are no floats)
  std::uint64_t not_finite = 0;  ///< elements NaN or infinite in one or both
  double largest = 0;            ///< max |b - a|
  double mean = 0;               ///< mean of b - a
  double rms = 0;                ///< of b - a
  double cosine = 1;             ///< of the angle between a and b
  double relative_norm = 0;      ///< |b - a| / |a|
};

struct CheckpointDiff {
  std::string a, b;
  bool same = true;                 ///< every tensor identical, no metadata or document changed
  std::vector<TensorDiff> tensors;  ///< in A's order, then what only B has
  TensorDiff total;                 ///< over all that were compared as numbers
  struct Text {
    std::string name;  ///< "config.json", "__metadata__.step"
    std::string before, after;
  };
  std::vector<Text> texts;  ///< metadata (of safetensors) and documents (of folders) that differ;
                            ///< documents without their text
  std::uint64_t read_bytes = 0;
  double seconds = 0;
};

/// Tensors are matched by name, without a container (`state_dict`, `model`, …) that holds all of
/// them. Results do not depend on the number of threads.
/// Errors: as open_checkpoint(); kIo, kCorrupt, kCancelled.
Result<CheckpointDiff> diff_checkpoints(const std::string& a, const std::string& b,
                                        const DiffOptions& options = {});
std::string diff_json(const CheckpointDiff& diff);

}  // namespace kilter
