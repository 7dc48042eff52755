// What differs between two checkpoints, tensor by tensor.
#include <algorithm>
#include <chrono>
#include <cmath>

#include "kilter/weights_diff.h"

#include "base/try.h"
#include "ops/diff/documents.h"
#include "ops/weights/tensor_pairs.h"
#include "tensor/kernels/float_values.h"

namespace kilter {
namespace ops {
namespace {

void finish(TensorDiff& row, const DifferenceSums& sums) {
  const double finite = static_cast<double>(sums.elements - sums.not_finite);
  row.elements = sums.elements;
  row.changed = sums.changed;
  row.not_finite = sums.not_finite;
  row.largest = sums.largest;
  row.mean = finite > 0 ? sums.sum / finite : 0;
  row.rms = finite > 0 ? std::sqrt(sums.squares / finite) : 0;
  const double norms = std::sqrt(sums.a_squares) * std::sqrt(sums.b_squares);
  row.cosine = norms > 0 ? std::clamp(sums.dot / norms, -1.0, 1.0) : 1;
  row.norm_a = std::sqrt(sums.a_squares);
  row.norm_b = std::sqrt(sums.b_squares);
  row.relative_norm = sums.a_squares > 0 ? std::sqrt(sums.squares / sums.a_squares) : 0;
}

class Comparison {
 public:
  Comparison(const WeightsInput& a, const WeightsInput& b, const DiffOptions& options)
      : a_(a), b_(b), options_(options) {}

  Result<CheckpointDiff> run() {
    const auto begun = std::chrono::steady_clock::now();
    out_.a = a_.address;
    out_.b = b_.address;
    match();
    KILTER_TRY(compare());
    KILTER_TRY(compare_documents(a_, b_, options_.context, out_));
    for (const TensorDiff& row : out_.tensors)
      out_.same = out_.same && row.change == WeightChange::kIdentical;
    out_.same = out_.same && out_.texts.empty();
    out_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
    return std::move(out_);
  }

 private:
  void match() {
    for (std::size_t i = 0; i < a_.names.size(); ++i) {
      const auto other = b_.find(a_.names[i]);
      const TensorInfo& info = a_.info(i);
      TensorDiff row;
      row.name = a_.names[i];
      row.dtype_a = info.dtype;
      row.shape_a = info.shape;
      row.change = WeightChange::kOnlyInA;
      if (other) add_pair(i, *other, row);
      out_.tensors.push_back(std::move(row));
    }
    for (std::size_t i = 0; i < b_.names.size(); ++i) {
      if (a_.find(b_.names[i])) continue;
      TensorDiff row;
      row.name = b_.names[i];
      row.dtype_b = b_.info(i).dtype;
      row.shape_b = b_.info(i).shape;
      row.change = WeightChange::kOnlyInB;
      out_.tensors.push_back(std::move(row));
    }
  }

  void add_pair(std::size_t a, std::size_t b, TensorDiff& row) {
    const TensorInfo &left = a_.info(a), &right = b_.info(b);
    row.dtype_b = right.dtype;
    row.shape_b = right.shape;
    row.change = WeightChange::kShapeChanged;
    if (left.shape != right.shape) return;
    TensorPair pair{&a_, &b_, a, b, left.dtype, right.dtype, false, left.element_count()};
    pair.floats = has_float_values(left.dtype) && has_float_values(right.dtype);
    row.change = WeightChange::kTypeChanged;
    if (!pair.floats && left.dtype != right.dtype) return;
    row.change = WeightChange::kChanged;
    if (!pair.floats && dtype_row(left.dtype).bits % 8 != 0) {  // packed: counted by bytes
      pair.dtype_a = pair.dtype_b = DType::kU8;
      pair.elements = left.bytes();
    }
    pairs_.push_back(pair);
    rows_.push_back(out_.tensors.size());
  }

  Status compare() {
    KILTER_ASSIGN(const std::vector<PairSums> sums,
                  sum_pairs(pairs_, options_.thread_count, options_.context));
    DifferenceSums all;
    for (std::size_t p = 0; p < pairs_.size(); ++p) {
      settle(pairs_[p], out_.tensors[rows_[p]], sums[p]);
      all += sums[p].sums;
    }
    finish(out_.total, all);
    return ok();
  }

  void settle(const TensorPair& pair, TensorDiff& row, const PairSums& whole) {
    finish(row, whole.sums);
    const bool same = pair.elements == 0 ? pair.dtype_a == pair.dtype_b : whole.same_bits;
    if (same)
      row.change = WeightChange::kIdentical;
    else if (pair.dtype_a != pair.dtype_b && whole.same_rounded)
      row.change = WeightChange::kEqualAfterRounding;
    out_.read_bytes += a_.info(pair.a).bytes() + b_.info(pair.b).bytes();
  }

  const WeightsInput& a_;
  const WeightsInput& b_;
  const DiffOptions& options_;
  std::vector<TensorPair> pairs_;
  std::vector<std::size_t> rows_;  // of the pairs, in out_.tensors
  CheckpointDiff out_;
};

}  // namespace
}  // namespace ops

std::string_view change_name(WeightChange change) {
  switch (change) {
    case WeightChange::kIdentical:
      return "identical";
    case WeightChange::kEqualAfterRounding:
      return "equal after rounding";
    case WeightChange::kChanged:
      return "changed";
    case WeightChange::kShapeChanged:
      return "shape changed";
    case WeightChange::kTypeChanged:
      return "dtype changed";
    case WeightChange::kOnlyInA:
      return "only in A";
    case WeightChange::kOnlyInB:
      return "only in B";
  }
  return "";
}

Result<CheckpointDiff> diff_checkpoints(const std::string& a, const std::string& b,
                                        const DiffOptions& options) {
  KILTER_ASSIGN(const ops::WeightsInput left, ops::open_weights(a, options.open, Part::kAll));
  KILTER_ASSIGN(const ops::WeightsInput right, ops::open_weights(b, options.open, Part::kAll));
  return ops::Comparison(left, right, options).run();
}

}  // namespace kilter
