#include "ops/adapter/adapter_kernel.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <deque>
#include <map>

#include "base/try.h"
#include "flow/source.h"
#include "tensor/kernels/float_values.h"

namespace kilter::ops {
/// What a step needs besides the tile.
struct LoadedStep {
  std::unique_ptr<Delta> delta;
  std::vector<double> vector;  ///< IA3's, or DoRA's magnitudes
  std::vector<double> norms;   ///< of what stands before DoRA's magnitudes
};
using LoadedSteps = std::vector<LoadedStep>;

namespace {

// A block's values and products stay in the second cache; its columns are a multiple of any
// vector's lanes.
constexpr std::size_t kBlockRows = 64, kBlockColumns = 256;
constexpr std::uint64_t kNormReadBytes = 1ULL << 20;
constexpr std::size_t kNormLanes = 8;

bool takes_input(const AdapterStep& step) {
  return step.kind == AdapterStep::Kind::kInput || step.kind == AdapterStep::Kind::kReplace;
}

struct StepScratch {
  BlockScratch block;
  std::vector<double> values, change;
};

/// Computes blocks of one tensor.
class BlockRun {
 public:
  BlockRun(const AdapterTensor& tensor, const LoadedSteps& steps)
      : tensor_(tensor), steps_(steps) {}

  /// `values` [block.rows × block.columns] hold the base's, and then what the first `count` steps
  /// make of them. Further inputs' values come from `inputs`, one for each step.
  void run(const MatrixBlock& block, std::size_t count, StepScratch* scratch, double* values,
           const std::vector<std::vector<double>>& inputs) const {
    for (std::size_t s = 0; s < count; ++s) {
      const MatrixBlock part = overlap(block, s);
      if (part.rows == 0) continue;
      double* const at = values + (part.first_row - block.first_row) * block.columns;
      MatrixBlock inside = part;
      inside.first_row -= tensor_.step_rows[s].first;
      take(s, inside, scratch, at, inputs[s]);
    }
  }

 private:
  MatrixBlock overlap(const MatrixBlock& block, std::size_t step) const {
    const auto& rows = tensor_.step_rows[step];
    const std::size_t first = std::max<std::size_t>(block.first_row, rows.first);
    const std::size_t end =
        std::min<std::size_t>(block.first_row + block.rows, rows.first + rows.count);
    return {first, end > first ? end - first : 0, block.first_column, block.columns};
  }

  void take(std::size_t s, const MatrixBlock& block, StepScratch* scratch, double* values,
            const std::vector<double>& input) const {
    const AdapterStep& step = tensor_.steps[s];
    const std::size_t count = block.rows * block.columns;
    scratch->change.resize(count);
    double* const change = scratch->change.data();
    switch (step.kind) {
      case AdapterStep::Kind::kAdd:
        steps_[s].delta->compute(block, &scratch->block, change);
        add_weighted(step.weight, {change, count}, values);
        break;
      case AdapterStep::Kind::kDora:
        steps_[s].delta->compute(block, &scratch->block, change);
        dora(s, block, change, values);
        break;
      case AdapterStep::Kind::kRows:
      case AdapterStep::Kind::kColumns:
        rescale(s, block, values);
        break;
      case AdapterStep::Kind::kInput:
        add_weighted(step.weight, input, values);
        break;
      case AdapterStep::Kind::kReplace:
        if (step.strength == 1) {
          std::copy(input.begin(), input.end(), values);
          break;
        }
        for (std::size_t i = 0; i < count; ++i) change[i] = input[i] - values[i];
        add_weighted(step.strength, {change, count}, values);
        break;
    }
  }

  void dora(std::size_t s, const MatrixBlock& block, double* change, double* values) const {
    const AdapterStep& step = tensor_.steps[s];
    const LoadedStep& loaded = steps_[s];
    for (std::size_t r = 0; r < block.rows; ++r) {
      for (std::size_t c = 0; c < block.columns; ++c) {
        const std::size_t i = r * block.columns + c;
        const std::size_t at = step.norms_of_columns ? (block.first_column + c) / step.column_group
                                                     : block.first_row + r;
        const double norm = loaded.norms[at];
        const double moved = values[i] + step.weight * change[i];
        const double turned = norm > 0 ? loaded.vector[at] / norm * moved : moved;
        values[i] = step.strength == 1 ? turned : values[i] + step.strength * (turned - values[i]);
      }
    }
  }

  void rescale(std::size_t s, const MatrixBlock& block, double* values) const {
    const AdapterStep& step = tensor_.steps[s];
    const std::vector<double>& vector = steps_[s].vector;
    for (std::size_t r = 0; r < block.rows; ++r) {
      for (std::size_t c = 0; c < block.columns; ++c) {
        const std::size_t at = step.kind == AdapterStep::Kind::kRows
                                   ? block.first_row + r
                                   : (block.first_column + c) / step.column_group;
        const double factor =
            step.strength == 1 ? vector[at] : 1 + step.strength * (vector[at] - 1);
        values[r * block.columns + c] *= factor;
      }
    }
  }

  const AdapterTensor& tensor_;
  const LoadedSteps& steps_;
};

/// Reads what the steps need; DoRA's norms by a pass over the base's tensor.
class StepLoader {
 public:
  explicit StepLoader(const AdapterTensor& tensor) : tensor_(tensor) {}

  Result<LoadedSteps> run() {
    for (std::size_t s = 0; s < tensor_.steps.size(); ++s) {
      KILTER_ASSIGN(LoadedStep loaded, load(s));
      loaded_.push_back(std::move(loaded));
      if (tensor_.steps[s].kind == AdapterStep::Kind::kDora) KILTER_TRY(measure(s));
    }
    return std::move(loaded_);
  }

 private:
  Result<LoadedStep> load(std::size_t s) const {
    const AdapterStep& step = tensor_.steps[s];
    LoadedStep out;
    const bool dora = step.kind == AdapterStep::Kind::kDora;
    if (dora || step.kind == AdapterStep::Kind::kAdd) {
      const WeightLayout layout = {tensor_.step_rows[s].count, tensor_.columns, step.transposed};
      KILTER_ASSIGN(out.delta, load_delta(*step.adapter, *step.module, layout));
    }
    const bool vector =
        step.kind == AdapterStep::Kind::kRows || step.kind == AdapterStep::Kind::kColumns;
    if (dora || vector) {
      const auto role = dora ? model::FactorRole::kMagnitude : model::FactorRole::kVector;
      KILTER_ASSIGN(out.vector, load_values(*step.adapter, *step.module->find(role)));
    }
    return out;
  }

  /// ‖v + scale Δ‖ of every row (or group of columns), v what the steps before make of the base.
  Status measure(std::size_t s) {
    const AdapterStep& step = tensor_.steps[s];
    LoadedStep& mine = loaded_[s];
    std::vector<double> squares(mine.vector.size(), 0.0);
    const std::uint64_t width = dtype_row(tensor_.dtype).bits / 8;
    const std::uint64_t row_bytes = std::max<std::uint64_t>(tensor_.columns * width, 1);
    const std::uint64_t rows_at_once =
        std::clamp<std::uint64_t>(kNormReadBytes / row_bytes, 1, kBlockRows);
    const auto& range = tensor_.step_rows[s];
    for (std::uint64_t row = 0; row < range.count; row += rows_at_once) {
      const std::uint64_t rows = std::min(rows_at_once, range.count - row);
      raw_.resize(rows * row_bytes);
      KILTER_TRY(tensor_.base->checkpoint.source()->read_tensor(
          tensor_.tensor, (range.first + row) * row_bytes, raw_));
      KILTER_TRY(read_inputs(s, range.first + row, rows));
      for (std::uint64_t c = 0; c < tensor_.columns; c += kBlockColumns)
        measure_block(
            s,
            {range.first + row, rows, c, std::min<std::size_t>(kBlockColumns, tensor_.columns - c)},
            step, &squares);
    }
    mine.norms.resize(squares.size());
    for (std::size_t i = 0; i < squares.size(); ++i) mine.norms[i] = std::sqrt(squares[i]);
    return ok();
  }

  /// The rows of further inputs that the steps in front take.
  Status read_inputs(std::size_t steps, std::uint64_t row, std::uint64_t rows) {
    for (std::size_t i = 0; i < steps; ++i) {
      const AdapterStep& step = tensor_.steps[i];
      if (!takes_input(step)) continue;
      const std::uint64_t row_bytes = tensor_.columns * dtype_row(step.input_dtype).bits / 8;
      raw_inputs_[i].resize(rows * row_bytes);
      KILTER_TRY(step.adapter->checkpoint.source()->read_tensor(step.input_tensor, row * row_bytes,
                                                                raw_inputs_[i]));
    }
    return ok();
  }

  void widen_rows(DType dtype, const std::vector<std::byte>& raw, const MatrixBlock& block,
                  std::vector<double>* out) const {
    const std::uint64_t width = dtype_row(dtype).bits / 8;
    out->resize(block.rows * block.columns);
    for (std::size_t r = 0; r < block.rows; ++r)
      widen_floats(dtype, raw.data() + (r * tensor_.columns + block.first_column) * width,
                   block.columns, out->data() + r * block.columns);
  }

  void measure_block(std::size_t s, const MatrixBlock& block, const AdapterStep& step,
                     std::vector<double>* squares) {
    const std::size_t count = block.rows * block.columns;
    widen_rows(tensor_.dtype, raw_, block, &scratch_.values);
    for (std::size_t i = 0; i < s; ++i)
      if (takes_input(tensor_.steps[i]))
        widen_rows(tensor_.steps[i].input_dtype, raw_inputs_[i], block, &inputs_[i]);
    double* const values = scratch_.values.data();
    BlockRun(tensor_, loaded_).run(block, s, &scratch_, values, inputs_);
    scratch_.change.resize(count);
    MatrixBlock inside = block;
    inside.first_row -= tensor_.step_rows[s].first;
    loaded_[s].delta->compute(inside, &scratch_.block, scratch_.change.data());
    add_weighted(step.weight, scratch_.change, values);
    for (std::size_t r = 0; r < block.rows; ++r) {
      const double* const row = values + r * block.columns;
      if (step.norms_of_columns)
        for (std::size_t c = 0; c < block.columns; ++c)
          (*squares)[(block.first_column + c) / step.column_group] += row[c] * row[c];
      else
        (*squares)[inside.first_row + r] += sum_of_squares(row, block.columns);
    }
  }

  /// In eight lanes, for speed; in a fixed order.
  static double sum_of_squares(const double* values, std::size_t count) {
    double lanes[kNormLanes] = {};
    std::size_t i = 0;
    for (; i + kNormLanes <= count; i += kNormLanes)
      for (std::size_t lane = 0; lane < kNormLanes; ++lane)
        lanes[lane] += values[i + lane] * values[i + lane];
    for (std::size_t lane = 0; i < count; ++i, ++lane) lanes[lane] += values[i] * values[i];
    double sum = 0;
    for (const double lane : lanes) sum += lane;
    return sum;
  }

  const AdapterTensor& tensor_;
  LoadedSteps loaded_;
  StepScratch scratch_;
  std::vector<std::byte> raw_;
  std::vector<std::vector<std::byte>> raw_inputs_{tensor_.steps.size()};  // by step
  std::vector<std::vector<double>> inputs_{tensor_.steps.size()};         // of the block
};

}  // namespace

class FactorKeeper {
 public:
  explicit FactorKeeper(std::size_t kept_max) : kept_max_(kept_max) {}

  /// Of several threads that ask for one tensor, one reads and the others wait.
  Result<std::shared_ptr<const LoadedSteps>> get(const AdapterTensor& tensor) {
    std::unique_lock lock(mutex_);
    while (true) {
      const auto found = kept_.find(&tensor);
      if (found == kept_.end()) break;
      if (found->second) return found->second;
      loaded_.wait(lock);
    }
    kept_.emplace(&tensor, nullptr);
    lock.unlock();
    auto steps = StepLoader(tensor).run();
    lock.lock();
    loaded_.notify_all();
    if (!steps) {
      kept_.erase(&tensor);
      return fail(std::move(steps.error()).at_path(tensor.path).at_tensor(tensor.name));
    }
    auto shared = std::make_shared<const LoadedSteps>(std::move(*steps));
    kept_[&tensor] = shared;
    order_.push_back(&tensor);
    if (order_.size() > kept_max_) {
      kept_.erase(order_.front());
      order_.pop_front();
    }
    return shared;
  }

 private:
  std::size_t kept_max_;
  std::mutex mutex_;
  std::condition_variable loaded_;
  std::map<const AdapterTensor*, std::shared_ptr<const LoadedSteps>> kept_;  // null: being read
  std::deque<const AdapterTensor*> order_;
};

std::shared_ptr<FactorKeeper> make_factor_keeper(std::size_t kept_max) {
  return std::make_shared<FactorKeeper>(kept_max);
}

namespace {

/// One tile: rows cut where the tile begins and ends, blocks in between.
class AdapterTileRun {
 public:
  AdapterTileRun(const AdapterTensor& tensor, const LoadedSteps& steps, const KernelTile& tile)
      : tensor_(tensor),
        run_(tensor, steps),
        tile_(tile),
        width_(dtype_row(tensor.dtype).bits / 8),
        first_(tile.offset_bytes / width_),
        inputs_(tensor.steps.size()) {}

  Status run() {
    const std::uint64_t end = first_ + tile_.out.size() / width_;
    for (std::uint64_t at = first_; at < end;) {
      const std::uint64_t row = at / tensor_.columns, column = at % tensor_.columns;
      const std::uint64_t whole_rows = (end - at) / tensor_.columns;
      if (column != 0 || whole_rows == 0) {
        const std::uint64_t count = std::min(tensor_.columns - column, end - at);
        KILTER_TRY(columns({row, 1, column, count}));
        at += count;
      } else {
        const std::uint64_t rows = std::min<std::uint64_t>(whole_rows, kBlockRows);
        KILTER_TRY(columns({row, rows, 0, tensor_.columns}));
        at += rows * tensor_.columns;
      }
    }
    return ok();
  }

 private:
  Status columns(const MatrixBlock& band) {
    for (std::size_t c = 0; c < band.columns; c += kBlockColumns)
      KILTER_TRY(block({band.first_row, band.rows, band.first_column + c,
                        std::min(kBlockColumns, band.columns - c)}));
    return ok();
  }

  std::size_t element_of(const MatrixBlock& block, std::size_t row) const {
    return (block.first_row + row) * tensor_.columns + block.first_column - first_;
  }

  void widen(Bytes bytes, DType dtype, const MatrixBlock& block, double* out) const {
    const std::size_t width = dtype_row(dtype).bits / 8;
    for (std::size_t r = 0; r < block.rows; ++r)
      widen_floats(dtype, bytes.data() + element_of(block, r) * width, block.columns,
                   out + r * block.columns);
  }

  Status block(const MatrixBlock& block) {
    const std::size_t count = block.rows * block.columns;
    scratch_.values.resize(count);
    double* const values = scratch_.values.data();
    widen(tile_.inputs[0], tensor_.dtype, block, values);
    if (!tensor_.allow_not_finite) KILTER_TRY(check_finite(values, count, tensor_.path));
    for (std::size_t s = 0; s < tensor_.steps.size(); ++s) {
      const AdapterStep& step = tensor_.steps[s];
      if (!takes_input(step)) continue;
      inputs_[s].resize(count);
      widen(tile_.inputs[step.input], step.input_dtype, block, inputs_[s].data());
    }
    run_.run(block, tensor_.steps.size(), &scratch_, values, inputs_);
    KILTER_TRY(check_result(values, count));
    for (std::size_t r = 0; r < block.rows; ++r)
      narrow_floats(tensor_.dtype, values + r * block.columns, block.columns,
                    tile_.out.data() + element_of(block, r) * width_);
    return ok();
  }

  Status check_finite(const double* values, std::size_t count, const std::string& path) const {
    if (count_range(DType::kF64, {values, count}).not_finite == 0) return ok();
    return fail(Error(ErrorCode::kMalformed, "weights are NaN or infinite")
                    .at_path(path)
                    .at_tensor(tensor_.name)
                    .advise("give --allow nonfinite to go on all the same"));
  }

  Status check_result(const double* values, std::size_t count) const {
    const RangeCounts range = count_range(tensor_.dtype, {values, count});
    if (range.not_finite > 0 && !tensor_.allow_not_finite)
      return check_finite(values, count, tensor_.steps.front().adapter->address);
    if (range.too_large == 0 || tensor_.allow_too_large) return ok();
    return fail(Error(ErrorCode::kOutOfRange,
                      fmt::format("numbers are too large for {}", dtype_name(tensor_.dtype)))
                    .at_path(tensor_.path)
                    .at_tensor(tensor_.name)
                    .advise("cast the base to a wider dtype first, or give --allow overflow"));
  }

  const AdapterTensor& tensor_;
  BlockRun run_;
  const KernelTile& tile_;
  std::size_t width_;
  std::uint64_t first_;  // element of the tile
  StepScratch scratch_;
  std::vector<std::vector<double>> inputs_;  // by step, of the block
};

}  // namespace

AdapterKernel::AdapterKernel(AdapterTensor tensor, std::shared_ptr<FactorKeeper> keeper)
    : tensor_(std::move(tensor)), keeper_(std::move(keeper)) {}

Status AdapterKernel::run(const KernelTile& tile) const {
  KILTER_ASSIGN(const std::shared_ptr<const LoadedSteps> steps, keeper_->get(tensor_));
  return AdapterTileRun(tensor_, *steps, tile).run();
}

}  // namespace kilter::ops
