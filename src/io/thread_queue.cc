// The queue where the kernel has no io_uring: threads that block.
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/thread_pool.h"
#include "io/io_queue_base.h"
#include "io/transfer.h"

namespace kilter::io {
namespace {

constexpr unsigned kThreadsMax = 16;  // more waiting threads than that gain nothing on one disk

/// True on the threads of any queue of this kind.
thread_local bool on_pool_thread = false;

std::int64_t step(const Transfer& transfer) {
  const auto offset = static_cast<off_t>(transfer.offset_bytes());
  const ssize_t moved =
      transfer.is_read() ? ::pread(transfer.fd(), transfer.data(), transfer.count_bytes(), offset)
                         : ::pwrite(transfer.fd(), transfer.data(), transfer.count_bytes(), offset);
  return moved < 0 ? -errno : moved;
}

void run(Transfer& transfer) {
  auto next = transfer.has_fd() ? Transfer::Next::kStep : Transfer::Next::kBlocking;
  while (next == Transfer::Next::kStep) next = transfer.advance(step(transfer));
  if (next == Transfer::Next::kBlocking) transfer.run_blocking();
}

class ThreadQueue : public IoQueue {
 public:
  explicit ThreadQueue(unsigned depth) : flight_(depth), pool_(std::min(depth, kThreadsMax)) {}
  ~ThreadQueue() override { flight_.wait_idle(); }

  void submit(IoRead read) override { start(std::make_shared<Transfer>(std::move(read))); }
  void submit(IoWrite write) override { start(std::make_shared<Transfer>(std::move(write))); }
  void wait_idle() override { flight_.wait_idle(); }
  IoQueueKind kind() const override { return IoQueueKind::kThreads; }

 private:
  void start(std::shared_ptr<Transfer> transfer) {  // shared: std::function wants copies
    flight_.enter(on_pool_thread);
    pool_.submit([this, transfer = std::move(transfer)] {
      on_pool_thread = true;
      if (!transfer->done_already()) run(*transfer);
      flight_.leave_slot();
      transfer->finish();
      flight_.finish();
    });
  }

  FlightCounter flight_;
  ThreadPool pool_;
};

}  // namespace

std::unique_ptr<IoQueue> make_thread_queue(unsigned depth) {
  return std::make_unique<ThreadQueue>(depth);
}

}  // namespace kilter::io
