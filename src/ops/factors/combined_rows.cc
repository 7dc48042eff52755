#include "ops/factors/combined_rows.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "base/try.h"
#include "ops/factors/panel.h"
#include "tensor/kernels/panel_product.h"

namespace kilter::ops {
namespace {

constexpr std::size_t kCombineBlockRows = 64;

bool prunes(CombineMethod method) {
  return method == CombineMethod::kTies || method == CombineMethod::kMagnitudePrune;
}
bool drops(CombineMethod method) {
  return method == CombineMethod::kDareLinear || method == CombineMethod::kDareTies;
}
bool elects(CombineMethod method) {
  return method == CombineMethod::kTies || method == CombineMethod::kDareTies;
}

/// One adapter's difference.
struct Difference {
  Panel up;     // [rows][panel_width(rank)]
  Matrix down;  // [panel_width(rank)][panel_width(columns)]
  double weight = 1;
  float threshold = 0;  // magnitudes below it are dropped

  explicit Difference(const WeightedFactors& part) : weight(part.weight) {
    const Matrix& from = part.factors.up;
    const std::size_t width = panel_width(from.columns);
    up = Panel(from.rows, width);
    for (std::size_t i = 0; i < from.rows; ++i)
      for (std::size_t k = 0; k < from.columns; ++k)
        up.values[i * width + k] = static_cast<float>(from.at(i, k));
    down = Matrix(width, panel_width(part.factors.down.rows));
    for (std::size_t j = 0; j < part.factors.down.rows; ++j)
      for (std::size_t k = 0; k < from.columns; ++k) down.at(k, j) = part.factors.down.at(j, k);
  }

  /// Rows [first, first + count), [count][down.columns].
  void rows(std::size_t first, std::size_t count, std::vector<double>& out) const {
    out.assign(count * down.columns, 0);
    const StridedFloats left{up.values.data() + first * up.width, count, up.width, up.width, 1};
    add_panel_product(left, down.values.data(), down.columns, down.columns, out.data(),
                      down.columns);
  }
};

/// The magnitude of the `keep`-th largest of all: found through the upper half of its bits, then
/// the lower.
class Selection32 {
 public:
  Selection32(const Difference& difference, std::size_t columns)
      : difference_(difference), columns_(columns) {}

  Result<float> find(std::uint64_t keep, const RunContext& context) {
    if (keep == 0) return std::numeric_limits<float>::infinity();
    KILTER_TRY(count(false, 0, context));
    const std::uint32_t upper = bin_of(keep);
    KILTER_TRY(count(true, upper, context));
    return std::bit_cast<float>(upper << 16 | bin_of(keep));
  }

 private:
  Status count(bool lower, std::uint32_t upper, const RunContext& context) {
    std::ranges::fill(counts_, 0);
    std::vector<double> rows;
    const std::size_t total = difference_.up.rows, width = difference_.down.columns;
    for (std::size_t first = 0; first < total; first += kCombineBlockRows) {
      KILTER_TRY(context.check());
      const std::size_t some = std::min(kCombineBlockRows, total - first);
      difference_.rows(first, some, rows);
      for (std::size_t i = 0; i < some; ++i)
        for (std::size_t j = 0; j < columns_; ++j) {
          const auto bits =
              std::bit_cast<std::uint32_t>(std::fabs(static_cast<float>(rows[i * width + j])));
          if (!lower)
            ++counts_[bits >> 16];
          else if (bits >> 16 == upper)
            ++counts_[bits & 0xFFFF];
        }
    }
    return ok();
  }

  /// The bin that the `keep`-th largest falls into; `keep` is what is left for within it.
  std::uint32_t bin_of(std::uint64_t& keep) const {
    for (std::uint32_t bin = 0xFFFF; bin > 0; --bin) {
      if (counts_[bin] >= keep) return bin;
      keep -= counts_[bin];
    }
    return 0;
  }

  const Difference& difference_;
  std::size_t columns_;
  std::vector<std::uint64_t> counts_ = std::vector<std::uint64_t>(1 << 16);
};

class CombinedRows final : public MatrixRows {
 public:
  CombinedRows(std::vector<Difference> parts, std::size_t columns, const CombineRule& rule,
               std::string name)
      : parts_(std::move(parts)), columns_(columns), rule_(rule), name_(std::move(name)) {}

  std::size_t rows() const override { return parts_.front().up.rows; }
  std::size_t columns() const override { return columns_; }
  std::string name() const override { return name_; }

  Status read(std::size_t first, std::size_t count, float* out) const override {
    std::vector<std::vector<double>> blocks(parts_.size());
    for (std::size_t at = 0; at < count; at += kCombineBlockRows) {
      const std::size_t some = std::min(kCombineBlockRows, count - at);
      for (std::size_t p = 0; p < parts_.size(); ++p) keep_some(p, first + at, some, blocks[p]);
      for (std::size_t i = 0; i < some; ++i)
        for (std::size_t j = 0; j < columns_; ++j)
          out[(at + i) * columns_ + j] =
              static_cast<float>(combine(blocks, i * parts_.front().down.columns + j));
    }
    return ok();
  }

  /// Where magnitudes decide, from which on they stay.
  Status find_thresholds(const RunContext& context) {
    for (Difference& part : parts_) {
      const auto all = static_cast<double>(rows()) * static_cast<double>(columns_);
      const auto keep = static_cast<std::uint64_t>(std::floor(rule_.density * all));
      KILTER_ASSIGN(part.threshold, Selection32(part, columns_).find(keep, context));
    }
    return ok();
  }

 private:
  void keep_some(std::size_t p, std::size_t first, std::size_t count,
                 std::vector<double>& block) const {
    const Difference& part = parts_[p];
    part.rows(first, count, block);
    const std::size_t width = part.down.columns;
    for (std::size_t i = 0; i < count; ++i)
      for (std::size_t j = 0; j < columns_; ++j) {
        double& value = block[i * width + j];
        value = static_cast<double>(static_cast<float>(value));
        if (prunes(rule_.method) && std::fabs(value) < static_cast<double>(part.threshold))
          value = 0;
        if (drops(rule_.method)) {
          const std::uint64_t element = (first + i) * columns_ + j;
          const double draw = random_share(rule_.seed + p, element);
          value = draw < rule_.density ? value / rule_.density : 0;
        }
      }
  }

  double combine(const std::vector<std::vector<double>>& blocks, std::size_t at) const {
    double sum = 0;
    for (std::size_t p = 0; p < parts_.size(); ++p) sum += parts_[p].weight * blocks[p][at];
    if (!elects(rule_.method)) return sum;
    double kept = 0, weights = 0;
    for (std::size_t p = 0; p < parts_.size(); ++p) {
      const double value = blocks[p][at];
      if (value == 0 || (value > 0) != (sum >= 0)) continue;
      kept += parts_[p].weight * value;
      weights += parts_[p].weight;
    }
    if (rule_.method == CombineMethod::kDareTies) return kept;
    return std::fabs(weights) < 1e-8 ? 0 : kept / weights;
  }

  std::vector<Difference> parts_;
  std::size_t columns_;
  CombineRule rule_;
  std::string name_;
};

}  // namespace

Result<std::unique_ptr<MatrixRows>> combined_rows(std::vector<WeightedFactors> parts,
                                                  const CombineRule& rule, std::string name,
                                                  const RunContext& context) {
  const std::size_t columns = parts.front().factors.down.rows;
  std::vector<Difference> differences;
  for (const WeightedFactors& part : parts) differences.emplace_back(part);
  auto out = std::make_unique<CombinedRows>(std::move(differences), columns, rule, std::move(name));
  if (prunes(rule.method)) KILTER_TRY(out->find_thresholds(context));
  return std::unique_ptr<MatrixRows>(std::move(out));
}

}  // namespace kilter::ops
