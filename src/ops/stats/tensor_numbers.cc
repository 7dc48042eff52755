#include "ops/stats/tensor_numbers.h"

#include <algorithm>
#include <memory>
#include <mutex>

#include "base/raw_bytes.h"
#include "base/run_jobs.h"
#include "base/try.h"
#include "flow/source.h"
#include "ops/stats/number_sums.h"
#include "tensor/kernels/number_values.h"

namespace kilter::ops {
namespace {

// Fixed, so that sums are the same for any number of threads. Multiples of 8: runs of packed
// elements begin at whole bytes.
constexpr std::uint64_t kStatsReadElements = 64U << 10, kStatsPartElements = 2U << 20;
constexpr std::uint64_t kStatsPartsMax = 16;  // of a tensor: each has sums for its channels
constexpr std::size_t kStatsBlock = 1024;

struct PartSums {
  NumberSums numbers;
  ChannelSquares channels;
};

/// One tensor while it is being read.
struct Measured {
  std::size_t tensor = 0, row = 0;  ///< in the checkpoint, in the report
  ChannelShape shape;
  std::uint64_t elements = 0, part_elements = 0;
  std::size_t first_part = 0, part_count = 0, left = 0;
  std::vector<std::unique_ptr<PartSums>> parts;
};

ChannelShape channel_shape(const TensorInfo& info) {
  if (info.shape.size() < 2 || numbers_per_element(info.dtype) != 1) return {};
  ChannelShape out{static_cast<std::uint64_t>(info.shape[0]),
                   static_cast<std::uint64_t>(info.shape[1]), 1};
  for (std::size_t i = 2; i < info.shape.size(); ++i)
    out.inner *= static_cast<std::uint64_t>(info.shape[i]);
  return out;
}

std::uint64_t round_up(std::uint64_t value, std::uint64_t unit) {
  return (value + unit - 1) / unit * unit;
}

class Measurement {
 public:
  Measurement(const Checkpoint& checkpoint, const StatsOptions& options, CheckpointStats& out)
      : checkpoint_(checkpoint), options_(options), out_(out) {}

  void take(std::size_t tensor, std::size_t row) {
    const TensorInfo& info = checkpoint_.tensors()[tensor];
    out_.tensors[row].has_numbers = has_number_values(info.dtype);
    Measured one{tensor, row, channel_shape(info), info.element_count(), 0, part_count_, 0, 0, {}};
    if (!out_.tensors[row].has_numbers || one.elements == 0) return;
    one.part_elements = std::max(
        kStatsPartElements,
        round_up((one.elements + kStatsPartsMax - 1) / kStatsPartsMax, kStatsReadElements));
    one.part_count =
        static_cast<std::size_t>((one.elements + one.part_elements - 1) / one.part_elements);
    one.left = one.part_count;
    part_count_ += one.part_count;
    tensors_.push_back(std::move(one));
  }

  Status run() {
    moments_.resize(out_.tensors.size());
    Jobs jobs{"measure", part_count_, {}, {}};
    jobs.bytes = [this](std::size_t i) {
      const Measured& one = tensor_of(i);
      return elements_of(one, i) * dtype_row(info(one).dtype).bits / 8;
    };
    jobs.run = [this](std::size_t i) -> Status {
      auto sums = std::make_unique<PartSums>();
      KILTER_TRY(read_part(tensor_of(i), i, *sums));
      finish_part(tensor_of(i), i, std::move(sums));
      return {};
    };
    KILTER_TRY(run_jobs(jobs, options_.thread_count, options_.context));
    for (const ValueMoments& one : moments_) total_.add_moments(one);
    out_.total = total_.result();
    return ok();
  }

 private:
  const TensorInfo& info(const Measured& one) const { return checkpoint_.tensors()[one.tensor]; }
  Measured& tensor_of(std::size_t part) {
    const auto behind = std::ranges::upper_bound(tensors_, part, {}, &Measured::first_part);
    return *(behind - 1);
  }
  static std::uint64_t elements_of(const Measured& one, std::size_t part) {
    const std::uint64_t first = (part - one.first_part) * one.part_elements;
    return std::min(one.part_elements, one.elements - first);
  }

  Status read_part(const Measured& one, std::size_t part, PartSums& sums) {
    const DType dtype = info(one).dtype;
    const std::uint64_t first = (part - one.first_part) * one.part_elements;
    const std::uint64_t count = elements_of(one, part), bits = dtype_row(dtype).bits;
    if (one.shape.rows > 0) sums.channels = ChannelSquares(one.shape, first, count);
    RawBytes bytes;
    for (std::uint64_t at = 0; at < count; at += kStatsReadElements) {
      KILTER_TRY(options_.context.check());
      const std::uint64_t some = std::min(kStatsReadElements, count - at);
      bytes.resize(static_cast<std::size_t>((some * bits + 7) / 8));
      KILTER_TRY(checkpoint_.source()->read_tensor(one.tensor, (first + at) * bits / 8, bytes));
      add_numbers(dtype, bytes, static_cast<std::size_t>(some), sums);
    }
    return ok();
  }

  static void add_numbers(DType dtype, Bytes bytes, std::size_t count, PartSums& sums) {
    double values[2 * kStatsBlock];
    const double smallest = smallest_normal(dtype);
    for (std::size_t at = 0; at < count; at += kStatsBlock) {
      const std::size_t some = std::min(kStatsBlock, count - at);
      widen_numbers(dtype, bytes.subspan(at * dtype_row(dtype).bits / 8), some, values);
      const std::span<double> block(values, some * numbers_per_element(dtype));
      sums.numbers.add(block, smallest);
      sums.channels.add(block);
    }
  }

  /// The thread that brings the last part of a tensor puts it together.
  void finish_part(Measured& one, std::size_t part, std::unique_ptr<PartSums> sums) {
    {
      const std::lock_guard guard(mutex_);
      if (one.parts.empty()) one.parts.resize(one.part_count);
      one.parts[part - one.first_part] = std::move(sums);
      if (--one.left > 0) return;
    }
    const auto parts = std::exchange(one.parts, {});
    PartSums& whole = *parts[0];
    if (one.shape.rows > 0 && one.part_count > 1) {
      ChannelSquares channels(one.shape, 0, one.elements);
      for (const auto& each : parts) channels.add(each->channels);
      whole.channels = std::move(channels);
    }
    for (std::size_t i = 1; i < parts.size(); ++i) whole.numbers.add(parts[i]->numbers);
    settle(one, whole);
  }

  void settle(const Measured& one, const PartSums& whole) {
    TensorStats& row = out_.tensors[one.row];
    row.numbers = whole.numbers.result();
    row.rows = whole.channels.rows(options_.outlier_deviations);
    row.columns = whole.channels.columns(options_.outlier_deviations);
    const DTypeKind kind = dtype_row(row.dtype).kind;
    if (kind != DTypeKind::kFloat && kind != DTypeKind::kComplex) return;
    moments_[one.row] = whole.numbers.moments();
    const std::lock_guard guard(mutex_);
    total_.add_counts(whole.numbers);
  }

  const Checkpoint& checkpoint_;
  const StatsOptions& options_;
  CheckpointStats& out_;
  std::vector<Measured> tensors_;
  NumberSums total_;                   // its moments come last, in the report's order
  std::vector<ValueMoments> moments_;  // by row of the report
  std::size_t part_count_ = 0;
  std::mutex mutex_;
};

}  // namespace

Status measure_tensors(const Checkpoint& checkpoint, const std::vector<std::size_t>& tensors,
                       const StatsOptions& options, CheckpointStats& out) {
  Measurement measurement(checkpoint, options, out);
  for (std::size_t row = 0; row < tensors.size(); ++row) measurement.take(tensors[row], row);
  return measurement.run();
}

}  // namespace kilter::ops
