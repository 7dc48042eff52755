#include <algorithm>
#include <mutex>

#include "kilter/saver.h"

#include "base/thread_pool.h"
#include "base/try.h"
#include "flow/source.h"

namespace kilter {
namespace {

/// As tensors are cut in a store, so that each of its chunks is decoded once.
constexpr std::uint64_t kLoadElements = 1ULL << 20;

Status check_target(const Checkpoint& checkpoint, const LoadTarget& target) {
  if (target.number >= checkpoint.tensors().size())
    return fail(ErrorCode::kInvalidArgument, "the checkpoint has fewer tensors");
  const TensorInfo& info = checkpoint.tensors()[target.number];
  if (info.dtype == target.tensor.dtype && info.shape == target.tensor.shape &&
      target.tensor.strides.empty())
    return ok();
  return fail(Error(ErrorCode::kInvalidArgument, "the memory does not fit the tensor")
                  .at_tensor(info.name)
                  .wanted("its dtype and shape, contiguous", "others"));
}

/// The parts of all tensors on a pool; the first error stops the rest.
class LoadRun {
 public:
  LoadRun(const Checkpoint& checkpoint, const RunContext& context)
      : checkpoint_(checkpoint), context_(context) {}

  Status run(const std::vector<LoadTarget>& targets) {
    ThreadPool pool;
    for (const LoadTarget& target : targets) {
      const std::uint64_t bytes = checkpoint_.tensors()[target.number].bytes();
      const std::uint64_t part =
          std::max<std::uint64_t>(1, dtype_row(target.tensor.dtype).bits / 8U) * kLoadElements;
      for (std::uint64_t at = 0; at < bytes; at += part)
        pool.submit([this, &target, at, count = std::min(part, bytes - at)] {
          std::span<std::byte> out(static_cast<std::byte*>(target.tensor.data) + at, count);
          bring(target.number, at, out);
        });
    }
    pool.wait_idle();
    return std::move(status_);
  }

 private:
  void bring(std::size_t number, std::uint64_t at, std::span<std::byte> out) {
    {
      const std::lock_guard guard(mutex_);
      if (!status_) return;
    }
    Status status = context_.check();
    if (status) status = checkpoint_.source()->read_tensor(number, at, out);
    const std::lock_guard guard(mutex_);
    if (!status && status_) status_ = std::move(status);
    done_bytes_ += out.size();
    if (context_.progress != nullptr && status_) context_.progress->update(done_bytes_);
  }

  const Checkpoint& checkpoint_;
  const RunContext& context_;
  std::mutex mutex_;
  Status status_;
  std::uint64_t done_bytes_ = 0;
};

}  // namespace

Status load_into(const Checkpoint& checkpoint, const std::vector<LoadTarget>& targets,
                 const RunContext& context) {
  std::uint64_t bytes = 0;
  for (const LoadTarget& target : targets) {
    KILTER_TRY(check_target(checkpoint, target));
    bytes += checkpoint.tensors()[target.number].bytes();
  }
  if (context.progress != nullptr) context.progress->begin("load", bytes);
  Status status = LoadRun(checkpoint, context).run(targets);
  if (context.progress != nullptr) context.progress->end();
  return status;
}

}  // namespace kilter
