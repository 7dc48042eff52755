#include "ops/merge/gram_study.h"

#include <algorithm>
#include <array>

#include "base/try.h"
#include "ops/merge/kernels/merge_lanes.h"
#include "ops/merge/linear_study.h"
#include "ops/merge/merge_kernel.h"

namespace kilter::ops {
namespace {

std::vector<double> normalized_weights(const TensorMerge& merge, bool equal, bool normalize) {
  std::vector<double> out;
  double sum = 0;
  for (const MergeTerm& term : merge.terms) {
    out.push_back(equal ? 1 : term.parameters.weight);
    sum += out.back();
  }
  if (normalize)
    for (double& weight : out) weight /= sum;
  return out;
}

/// A run of elements of each of a method's vectors.
class VectorBlock {
 public:
  explicit VectorBlock(const MergeReader& reader, bool relative)
      : reader_(reader),
        relative_(relative),
        values_((reader.input_count() + 1) * kMergeBlockElements) {}
  std::size_t vectors() const { return reader_.input_count() - (relative_ ? 1 : 0); }
  const double* at(std::size_t vector) const {
    return values_.data() + (vector + 1) * kMergeBlockElements;
  }
  void load(const StudyBlock& block, std::size_t at, std::size_t count) {
    double* const base = values_.data();
    if (relative_) reader_.widen(block, 0, at, count, base);
    for (std::size_t i = 0; i < vectors(); ++i) {
      double* const to = base + (i + 1) * kMergeBlockElements;
      reader_.widen(block, i + (relative_ ? 1 : 0), at, count, to);
      if (relative_) subtract(base, count, to);
    }
  }

 private:
  const MergeReader& reader_;
  bool relative_;
  std::vector<double> values_;
};

class GramStudy : public MergeStudy {
 public:
  explicit GramStudy(const TensorMerge& merge)
      : MergeStudy(merge), parts_(part_count(), Gram(vector_count())) {}
  std::uint64_t memory_bytes() const override {
    return 4096 + parts_.size() * vector_count() * vector_count() * sizeof(double);
  }
  Result<bool> next_pass() override { return std::exchange(is_first_, false); }

  Status add(const StudyBlock& block) override {
    Gram& sums = parts_[static_cast<std::size_t>(block.first / part_elements())];
    VectorBlock vectors(reader(), uses_task_vectors(merge()));
    for (std::size_t at = 0; at < block.count; at += kMergeBlockElements) {
      const std::size_t some = std::min(kMergeBlockElements, block.count - at);
      vectors.load(block, at, some);
      for (std::size_t i = 0; i < vectors.vectors(); ++i)
        for (std::size_t j = i; j < vectors.vectors(); ++j)
          sums.at(i, j) += dot(vectors.at(i), vectors.at(j), some);
    }
    return ok();
  }

  Result<std::shared_ptr<const Kernel>> finish() override {
    Gram sums(vector_count());
    for (const Gram& part : parts_) sums += part;
    std::vector<double> shares = shares_of(merge(), sums);
    if (uses_task_vectors(merge())) {
      double rest = 1;
      for (const double share : shares) rest -= share;
      shares.insert(shares.begin(), rest);
    }
    return blend_inputs(merge(), shares);
  }

 private:
  std::size_t vector_count() const {
    return reader().input_count() - (uses_task_vectors(merge()) ? 1 : 0);
  }
  bool is_first_ = true;
  std::vector<Gram> parts_;
};

/// base + sum of share * (term - base), or sum of share * term; shares by line.
class LineFormula : public MergeFormula {
 public:
  LineFormula(std::uint64_t line, bool by_rows, bool relative,
              std::vector<std::vector<double>> shares)
      : line_(line), by_rows_(by_rows), relative_(relative), shares_(std::move(shares)) {}
  std::size_t scratch_count() const override { return 1; }

  void run(const FormulaBlock& block) const override {
    std::fill_n(block.out, block.count, 0.0);
    for (std::size_t i = 0; i < shares_.size(); ++i) {
      if (relative_) subtract(block.base, block.count, block.terms[i]);
      gather_shares(i, block.first, block.count, block.scratch[0]);
      add_products(block.scratch[0], block.terms[i], block.count, block.out);
    }
    if (relative_) add(block.base, block.count, block.out);
  }

 private:
  void gather_shares(std::size_t vector, std::uint64_t first, std::size_t count,
                     double* out) const {
    const std::vector<double>& shares = shares_[vector];
    for (std::size_t at = 0; at < count;) {
      const std::uint64_t element = first + at, within = element % line_;
      const std::size_t some =
          static_cast<std::size_t>(std::min<std::uint64_t>(count - at, line_ - within));
      if (by_rows_)
        std::fill_n(out + at, some, shares[static_cast<std::size_t>(element / line_)]);
      else
        std::copy_n(shares.data() + within, some, out + at);
      at += some;
    }
  }

  std::uint64_t line_;  // elements of a row; or of what lies between an element and the next of
                        // its column
  bool by_rows_, relative_;
  std::vector<std::vector<double>> shares_;  // by vector, by line
};

/// The same sums for each row (last dimension), or for each column (first dimension).
class LineGramStudy : public MergeStudy {
 public:
  explicit LineGramStudy(const TensorMerge& merge)
      : MergeStudy(merge),
        relative_(uses_task_vectors(merge)),
        by_rows_(merge.method == MergeMethod::kModelStock || !merge.parameters.nuslerp_row_wise) {
    const std::uint64_t elements = std::max<std::uint64_t>(reader().elements(), 1);
    if (by_rows_)
      line_ = merge.shape.empty() ? 1 : static_cast<std::uint64_t>(merge.shape.back());
    else
      line_ = elements / (merge.shape.empty() ? 1 : static_cast<std::uint64_t>(merge.shape[0]));
    line_ = std::max<std::uint64_t>(line_, 1);
    lines_ = by_rows_ ? elements / line_ : line_;
  }

  std::uint64_t part_elements() const override {
    if (by_rows_) return (kStudyPartElements + line_ - 1) / line_ * line_;
    const std::uint64_t share = reader().elements() / kColumnPartsMax / kStudyPartElements + 1;
    return share * kStudyPartElements;
  }
  std::uint64_t memory_bytes() const override {
    return (by_rows_ ? 1 : part_count()) * lines_ * pair_count() * sizeof(double);
  }

  Result<bool> next_pass() override {
    if (!std::exchange(is_first_, false)) return false;
    const std::size_t parts = by_rows_ ? 1 : static_cast<std::size_t>(part_count());
    sums_.assign(parts, std::vector<double>(static_cast<std::size_t>(lines_) * pair_count()));
    return true;
  }

  Status add(const StudyBlock& block) override {
    const auto part = static_cast<std::size_t>(block.first / part_elements());
    VectorBlock vectors(reader(), relative_);
    for (std::size_t at = 0; at < block.count;) {
      const std::uint64_t element = block.first + at;
      const std::size_t some = static_cast<std::size_t>(std::min<std::uint64_t>(
          {block.count - at, kMergeBlockElements, line_ - element % line_}));
      vectors.load(block, at, some);
      if (by_rows_)
        add_row(vectors, some, sums_[0].data() + element / line_ * pair_count());
      else
        add_columns(vectors, some, sums_[part].data() + element % line_ * pair_count());
      at += some;
    }
    return ok();
  }

  Result<std::shared_ptr<const Kernel>> finish() override {
    const std::size_t count = vector_count();
    std::vector<std::vector<double>> shares(count,
                                            std::vector<double>(static_cast<std::size_t>(lines_)));
    for (std::size_t line = 0; line < lines_; ++line) {
      const std::vector<double> own = shares_of(merge(), gram_of(line));
      for (std::size_t i = 0; i < count; ++i) shares[i][line] = own[i];
    }
    sums_ = {};
    return std::make_shared<MergeKernel>(
        merge(), std::make_unique<LineFormula>(line_, by_rows_, relative_, std::move(shares)));
  }

 private:
  static constexpr std::uint64_t kColumnPartsMax = 32;
  std::size_t vector_count() const { return reader().input_count() - (relative_ ? 1 : 0); }
  std::size_t pair_count() const { return vector_count() * (vector_count() + 1) / 2; }

  static void add_row(const VectorBlock& vectors, std::size_t count, double* sums) {
    for (std::size_t i = 0; i < vectors.vectors(); ++i)
      for (std::size_t j = i; j < vectors.vectors(); ++j)
        *sums++ += dot(vectors.at(i), vectors.at(j), count);
  }

  void add_columns(const VectorBlock& vectors, std::size_t count, double* sums) const {
    std::size_t pair = 0;
    for (std::size_t i = 0; i < vectors.vectors(); ++i) {
      for (std::size_t j = i; j < vectors.vectors(); ++j, ++pair) {
        for (std::size_t e = 0; e < count; ++e) {
          const double product = vectors.at(i)[e] * vectors.at(j)[e];
          sums[e * pair_count() + pair] += product;
        }
      }
    }
  }

  Gram gram_of(std::size_t line) const {
    Gram out(vector_count());
    for (const std::vector<double>& part : sums_) {
      const double* pair = part.data() + line * pair_count();
      for (std::size_t i = 0; i < out.vectors(); ++i)
        for (std::size_t j = i; j < out.vectors(); ++j) out.at(i, j) += *pair++;
    }
    return out;
  }

  bool relative_, by_rows_, is_first_ = true;
  std::uint64_t line_ = 1, lines_ = 1;
  std::vector<std::vector<double>> sums_;  // by part; of each line, its pairs
};

}  // namespace

bool uses_task_vectors(const TensorMerge& merge) {
  return merge.base.has_value() && merge.method != MergeMethod::kSlerp;
}

std::vector<double> shares_of(const TensorMerge& merge, const Gram& gram) {
  const MergeParameters& own = merge.parameters;
  const bool is_paper = merge.compat == MergeCompat::kPaper;
  switch (merge.method) {
    case MergeMethod::kSlerp:
      return slerp_shares(gram, own.t);
    case MergeMethod::kNuslerp:
      return nuslerp_shares(gram, normalized_weights(merge, false, false));
    case MergeMethod::kMultislerp:
      return multislerp_shares(gram, normalized_weights(merge, false, own.normalize), own.epsilon,
                               merge.compat);
    case MergeMethod::kKarcher:  // the tool has no weights
      return karcher_shares(gram, normalized_weights(merge, !is_paper, true), own.max_iterations,
                            own.tolerance);
    default:
      return model_stock_shares(gram, merge.compat);
  }
}

std::unique_ptr<MergeStudy> study_gram(const TensorMerge& merge) {
  return std::make_unique<GramStudy>(merge);
}

std::unique_ptr<MergeStudy> study_line_grams(const TensorMerge& merge) {
  return std::make_unique<LineGramStudy>(merge);
}

}  // namespace kilter::ops
