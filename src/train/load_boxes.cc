#include <algorithm>
#include <cstring>
#include <mutex>

#include "kilter/sharded.h"

#include "base/checked.h"
#include "base/raw_bytes.h"
#include "base/thread_pool.h"
#include "base/try.h"
#include "flow/source.h"

namespace kilter {
namespace {

constexpr std::uint64_t kBlockBytes = 4ULL << 20;
constexpr unsigned kBoxThreadsMin = 8;  // while some wait for the disk, others copy

/// A box seen as rows: runs of elements that lie together in the tensor and in the target.
class BoxPlan {
 public:
  BoxPlan(const TensorInfo& info, const BoxTarget& box)
      : shape_(box.target.shape),
        from_strides_(contiguous_strides(info.shape)),
        to_strides_(box.target.strides.empty() ? contiguous_strides(box.target.shape)
                                               : box.target.strides),
        element_bytes_(dtype_row(info.dtype).bits / 8U) {
    for (std::size_t d = 0; d < shape_.size(); ++d)
      first_ += static_cast<std::uint64_t>(box.offsets[d] * from_strides_[d]);
    std::int64_t run = 1;
    outer_ = shape_.size();
    while (outer_ > 0 && (shape_[outer_ - 1] == 1 ||
                          (from_strides_[outer_ - 1] == run && to_strides_[outer_ - 1] == run)))
      run *= shape_[--outer_];
    run_bytes_ = static_cast<std::uint64_t>(run) * element_bytes_;
    for (std::size_t d = 0; d < outer_; ++d) rows_ *= static_cast<std::uint64_t>(shape_[d]);
  }

  std::uint64_t rows() const { return rows_; }
  std::uint64_t run_bytes() const { return run_bytes_; }
  std::uint64_t from_bytes(std::uint64_t row) const {
    return (first_ + position(row, from_strides_)) * element_bytes_;
  }
  std::uint64_t to_bytes(std::uint64_t row) const {
    return position(row, to_strides_) * element_bytes_;
  }

 private:
  std::uint64_t position(std::uint64_t row, const std::vector<std::int64_t>& strides) const {
    std::uint64_t at = 0;
    for (std::size_t d = outer_; d-- > 0;) {
      const auto size = static_cast<std::uint64_t>(shape_[d]);
      at += row % size * static_cast<std::uint64_t>(strides[d]);
      row /= size;
    }
    return at;
  }

  std::vector<std::int64_t> shape_, from_strides_, to_strides_;
  std::uint64_t element_bytes_;
  std::uint64_t first_ = 0, run_bytes_ = 0, rows_ = 1;
  std::size_t outer_ = 0;
};

Status check_box(const Checkpoint& checkpoint, const BoxTarget& box) {
  if (box.number >= checkpoint.tensors().size())
    return fail(ErrorCode::kInvalidArgument, "the checkpoint has fewer tensors");
  const TensorInfo& info = checkpoint.tensors()[box.number];
  const auto refuse = [&](const char* why) {
    return fail(Error(ErrorCode::kInvalidArgument, why).at_tensor(info.name));
  };
  if (info.dtype != box.target.dtype) return refuse("the box has another dtype than the tensor");
  if (dtype_row(info.dtype).bits % 8 != 0) return refuse("elements narrower than a byte");
  if (box.offsets.size() != info.shape.size() || box.target.shape.size() != info.shape.size())
    return refuse("the box has another number of dimensions than the tensor");
  for (std::size_t d = 0; d < info.shape.size(); ++d) {
    const std::int64_t size = box.target.shape[d], at = box.offsets[d];
    if (size < 0 || at < 0 || at > info.shape[d] || size > info.shape[d] - at)
      return refuse("the box reaches out of the tensor");
  }
  return ok();
}

class BoxLoad {
 public:
  BoxLoad(const Checkpoint& checkpoint, const RunContext& context)
      : checkpoint_(checkpoint), context_(context) {}

  Status run(const std::vector<BoxTarget>& boxes) {
    std::vector<BoxPlan> plans;
    for (const BoxTarget& box : boxes) plans.emplace_back(checkpoint_.tensors()[box.number], box);
    ThreadPool pool(std::max(kBoxThreadsMin, usable_cpu_count()));
    for (std::size_t i = 0; i < boxes.size(); ++i) submit(boxes[i], plans[i], pool);
    pool.wait_idle();
    return std::move(status_);
  }

 private:
  /// Long runs come in parts, straight to where they belong; short ones in blocks of rows.
  void submit(const BoxTarget& box, const BoxPlan& plan, ThreadPool& pool) {
    if (plan.run_bytes() == 0) return;
    if (plan.run_bytes() >= kBlockBytes / 4) {
      for (std::uint64_t row = 0; row < plan.rows(); ++row)
        for (std::uint64_t at = 0; at < plan.run_bytes(); at += kBlockBytes)
          pool.submit([this, &box, &plan, row, at] { read_run(box, plan, row, at); });
      return;
    }
    for (std::uint64_t row = 0; row < plan.rows();) {
      std::uint64_t end = row + 1;
      while (end < plan.rows() &&
             plan.from_bytes(end) + plan.run_bytes() - plan.from_bytes(row) <= kBlockBytes)
        ++end;
      pool.submit([this, &box, &plan, row, end] { read_rows(box, plan, row, end); });
      row = end;
    }
  }

  static std::byte* place(const BoxTarget& box, std::uint64_t at) {
    return static_cast<std::byte*>(box.target.data) + at;
  }

  void read_run(const BoxTarget& box, const BoxPlan& plan, std::uint64_t row, std::uint64_t at) {
    if (stopped()) return;
    const std::uint64_t count = std::min(kBlockBytes, plan.run_bytes() - at);
    note(checkpoint_.source()->read_tensor(box.number, plan.from_bytes(row) + at,
                                           {place(box, plan.to_bytes(row) + at), count}));
  }

  void read_rows(const BoxTarget& box, const BoxPlan& plan, std::uint64_t row, std::uint64_t end) {
    if (stopped()) return;
    const std::uint64_t begin = plan.from_bytes(row);
    RawBytes block(plan.from_bytes(end - 1) + plan.run_bytes() - begin);
    Status read = checkpoint_.source()->read_tensor(box.number, begin, block);
    for (; read && row < end; ++row)
      std::memcpy(place(box, plan.to_bytes(row)), block.data() + (plan.from_bytes(row) - begin),
                  plan.run_bytes());
    note(std::move(read));
  }

  bool stopped() {
    Status go_on = context_.check();
    const std::lock_guard guard(mutex_);
    if (!go_on && status_) status_ = std::move(go_on);
    return !status_;
  }
  void note(Status status) {
    const std::lock_guard guard(mutex_);
    if (!status && status_) status_ = std::move(status);
  }

  const Checkpoint& checkpoint_;
  const RunContext& context_;
  std::mutex mutex_;
  Status status_;
};

}  // namespace

Status load_boxes(const Checkpoint& checkpoint, const std::vector<BoxTarget>& targets,
                  const RunContext& context) {
  for (const BoxTarget& box : targets) KILTER_TRY(check_box(checkpoint, box));
  return BoxLoad(checkpoint, context).run(targets);
}

}  // namespace kilter
