// What differs between two checkpoints, tensor by tensor.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>

#include "kilter/weights_diff.h"

#include "base/try.h"
#include "ops/diff/against.h"
#include "ops/diff/documents.h"
#include "ops/diff/guesses.h"
#include "ops/diff/layouts.h"
#include "ops/diff/matching.h"
#include "ops/diff/spectra.h"
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

std::vector<std::int64_t> rows_of(std::vector<std::int64_t> shape,
                                  const std::optional<std::uint64_t>& rows) {
  if (rows) shape[0] = static_cast<std::int64_t>(*rows);
  return shape;
}

bool is_reversed(const std::vector<std::int64_t>& a, const std::vector<std::int64_t>& b) {
  return a.size() == 2 && b.size() == 2 && a[0] == b[1] && a[1] == b[0];
}

class Comparison {
 public:
  /// `c` is what it is held against; nullptr if nothing.
  Comparison(const WeightsInput& a, const WeightsInput& b, const WeightsInput* c,
             const DiffOptions& options)
      : a_(a), b_(b), c_(c), options_(options) {}

  Result<CheckpointDiff> run() {
    const auto begun = std::chrono::steady_clock::now();
    out_.a = a_.address;
    out_.b = b_.address;
    KILTER_ASSIGN(matches_, match_tensors(a_, b_, options_.thread_count, options_.context));
    for (std::size_t i = 0; i < matches_.size(); ++i) add_row(i);
    KILTER_TRY(compare());
    KILTER_TRY(try_layouts());
    total();
    KILTER_TRY(look_closer());
    KILTER_TRY(compare_documents(a_, b_, options_.context, out_));
    for (const TensorDiff& row : out_.tensors)
      out_.same = out_.same && row.change == WeightChange::kIdentical && row.rule.empty() &&
                  row.layout.empty();
    out_.same = out_.same && out_.texts.empty();
    out_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
    return std::move(out_);
  }

 private:
  void add_row(std::size_t at) {
    const TensorMatch& match = matches_[at];
    TensorDiff row;
    row.rule = match.rule;
    row.change = match.a ? WeightChange::kOnlyInA : WeightChange::kOnlyInB;
    if (match.a) {
      row.name = a_.names[*match.a];
      row.dtype_a = a_.info(*match.a).dtype;
      row.shape_a = a_.info(*match.a).shape;
    }
    if (match.b) {
      (match.a ? row.name_b : row.name) = b_.names[*match.b];
      row.dtype_b = b_.info(*match.b).dtype;
      row.shape_b = b_.info(*match.b).shape;
    }
    if (row.name_b == row.name) row.name_b.clear();
    if (match.a && match.b) add_pair(match, row);
    out_.tensors.push_back(std::move(row));
  }

  /// Which rows of a fused tensor these are.
  static std::string run_layout(const TensorMatch& match, const TensorDiff& row) {
    if (!match.row_count) return {};
    const bool in_a = row.shape_a[0] != static_cast<std::int64_t>(*match.row_count);
    const std::uint64_t first = in_a ? match.first_row_a : match.first_row_b;
    return "rows " + std::to_string(first) + " to " + std::to_string(first + *match.row_count) +
           (in_a ? " of A" : " of B");
  }

  void add_pair(const TensorMatch& match, TensorDiff& row) {
    const TensorInfo &left = a_.info(*match.a), &right = b_.info(*match.b);
    const auto shape_a = rows_of(left.shape, match.row_count);
    const auto shape_b = rows_of(right.shape, match.row_count);
    const bool reversed = shape_a != shape_b && is_reversed(shape_a, shape_b);
    row.change = WeightChange::kShapeChanged;
    if (shape_a != shape_b && !reversed) return;
    TensorPair pair{&a_, &b_, *match.a, *match.b, left.dtype, right.dtype, false, 1, {}, {}};
    for (const std::int64_t size : shape_a) pair.elements *= static_cast<std::uint64_t>(size);
    pair.floats = has_float_values(left.dtype) && has_float_values(right.dtype);
    if ((reversed || match.row_count) && !pair.floats) return;  // views are of floats
    row.change = WeightChange::kTypeChanged;
    if (!pair.floats && left.dtype != right.dtype) return;
    row.change = WeightChange::kChanged;
    row.layout = reversed ? "transposed" : run_layout(match, row);
    if (reversed)
      pair.view_b = {Layout::kTransposed, 0, static_cast<std::uint64_t>(shape_a[0]),
                     static_cast<std::uint64_t>(shape_a[1]), 0};
    if (match.row_count && *match.row_count > 0) {
      pair.view_a.first = match.first_row_a * (pair.elements / *match.row_count);
      pair.view_b.first = match.first_row_b * (pair.elements / *match.row_count);
    }
    if (!pair.floats && dtype_row(left.dtype).bits % 8 != 0) {  // packed: counted by bytes
      pair.dtype_a = pair.dtype_b = DType::kU8;
      pair.elements = left.bytes();
    }
    pairs_.push_back(pair);
    rows_.push_back(out_.tensors.size());
  }

  Status compare() {
    KILTER_ASSIGN(sums_, sum_pairs(pairs_, options_.thread_count, options_.context));
    for (std::size_t p = 0; p < pairs_.size(); ++p) {
      settle(p);
      out_.read_bytes += pairs_[p].elements *
                         (dtype_row(pairs_[p].dtype_a).bits + dtype_row(pairs_[p].dtype_b).bits) /
                         8;
    }
    return ok();
  }

  void settle(std::size_t p) {
    TensorDiff& row = out_.tensors[rows_[p]];
    finish(row, sums_[p].sums);
    const bool same =
        pairs_[p].elements == 0 ? pairs_[p].dtype_a == pairs_[p].dtype_b : sums_[p].same_bits;
    row.change = WeightChange::kChanged;
    if (same)
      row.change = WeightChange::kIdentical;
    else if (pairs_[p].dtype_a != pairs_[p].dtype_b && sums_[p].same_rounded)
      row.change = WeightChange::kEqualAfterRounding;
  }

  /// A matrix of floats that has little to do with its partner may be it in another order.
  bool may_have_other_layout(std::size_t p) const {
    const TensorDiff& row = out_.tensors[rows_[p]];
    return row.change == WeightChange::kChanged && pairs_[p].floats && row.layout.empty() &&
           row.shape_a.size() == 2 && row.cosine < kOtherLayoutCosine && pairs_[p].elements > 1;
  }

  Result<std::optional<LayoutGuess>> guess_layout(std::size_t p) const {
    const TensorMatch& match = matches_[rows_[p]];
    if (match.meta_is_a) {
      KILTER_ASSIGN(auto guess, guess_rotary(pairs_[p], *match.meta_is_a));
      if (guess) return guess;
    }
    const auto& shape = out_.tensors[rows_[p]].shape_a;
    if (shape[0] != shape[1]) return std::nullopt;
    return guess_transposed(pairs_[p]);
  }

  Status try_layouts() {
    std::vector<std::size_t> tried;
    std::vector<TensorPair> pairs;
    std::vector<const char*> names;
    for (std::size_t p = 0; p < pairs_.size(); ++p) {
      forget_transpose(p);
      if (!may_have_other_layout(p)) continue;
      KILTER_ASSIGN(const auto guess, guess_layout(p));
      if (!guess) continue;
      tried.push_back(p);
      names.push_back(guess->name);
      pairs.push_back(pairs_[p]);
      pairs.back().view_a = guess->view_a;
      pairs.back().view_b = guess->view_b;
    }
    if (tried.empty()) return ok();
    KILTER_ASSIGN(const std::vector<PairSums> sums,
                  sum_pairs(pairs, options_.thread_count, options_.context));
    for (std::size_t i = 0; i < tried.size(); ++i) adopt(tried[i], pairs[i], sums[i], names[i]);
    return ok();
  }

  void adopt(std::size_t p, const TensorPair& pair, const PairSums& sums, const char* name) {
    if (sums.sums.squares >= sums_[p].sums.squares) return;
    pairs_[p] = pair;
    sums_[p] = sums;
    settle(p);
    out_.tensors[rows_[p]].layout = name;
  }

  /// Shapes that are each other's reverse by chance.
  void forget_transpose(std::size_t p) {
    TensorDiff& row = out_.tensors[rows_[p]];
    if (pairs_[p].view_b.layout != Layout::kTransposed || row.change != WeightChange::kChanged ||
        row.cosine >= kTransposedCosine)
      return;
    TensorDiff unlike;
    unlike.name = row.name;
    unlike.name_b = row.name_b;
    unlike.rule = row.rule;
    unlike.dtype_a = row.dtype_a;
    unlike.dtype_b = row.dtype_b;
    unlike.shape_a = row.shape_a;
    unlike.shape_b = row.shape_b;
    unlike.change = WeightChange::kShapeChanged;
    row = unlike;
    sums_[p] = {};
  }

  Status look_closer() {
    if (c_ != nullptr)
      KILTER_TRY(
          compare_against(*c_, pairs_, rows_, options_.thread_count, options_.context, out_));
    if (options_.spectrum_tensors > 0) KILTER_TRY(measure_spectra(pairs_, rows_, options_, out_));
    guess_origin(out_);
    return ok();
  }

  void total() {
    DifferenceSums all;
    for (const PairSums& one : sums_) all += one.sums;
    finish(out_.total, all);
  }

  static constexpr double kOtherLayoutCosine = 0.9, kTransposedCosine = 0.5;
  const WeightsInput& a_;
  const WeightsInput& b_;
  const WeightsInput* c_;
  const DiffOptions& options_;
  std::vector<TensorMatch> matches_;  // as out_.tensors
  std::vector<TensorPair> pairs_;
  std::vector<PairSums> sums_;
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
  std::optional<ops::WeightsInput> third;
  if (!options.against.empty()) {
    KILTER_ASSIGN(third, ops::open_weights(options.against, options.open, Part::kAll));
  }
  return ops::Comparison(left, right, third ? &*third : nullptr, options).run();
}

}  // namespace kilter
