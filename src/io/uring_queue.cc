// The queue over io_uring: any thread submits, one thread completes.
#include <liburing.h>
#include <sched.h>

#include <bit>
#include <cerrno>
#include <mutex>
#include <thread>
#include <utility>

#include "base/thread_pool.h"
#include "io/io_queue_base.h"
#include "io/os_error.h"

namespace kilter::io {
namespace {

thread_local bool on_uring_thread = false;

/// The kernel gives the addresses of a ring that is gone to a later one, after all that was done
/// with the first. This lock says so to ThreadSanitizer, which sees neither liburing's mmap nor its
/// munmap, and would take the two for one.
std::mutex& ring_address_mutex() {
  static std::mutex mutex;
  return mutex;
}

class UringQueue : public IoQueue {
 public:
  UringQueue(const io_uring& ring, unsigned depth, std::chrono::milliseconds patience)
      : ring_(ring), patience_(patience), flight_(depth), completer_([this] { complete(); }) {}
  ~UringQueue() override {
    flight_.wait_idle();
    push(nullptr);
    completer_.join();
    const std::lock_guard guard(ring_address_mutex());
    ::io_uring_queue_exit(&ring_);
  }

  void submit(IoRead read) override { start(std::make_unique<Transfer>(std::move(read))); }
  void submit(IoWrite write) override { start(std::make_unique<Transfer>(std::move(write))); }
  void wait_idle() override { flight_.wait_idle(); }
  IoQueueKind kind() const override { return IoQueueKind::kUring; }

 private:
  void start(std::unique_ptr<Transfer> transfer) {
    flight_.enter(on_uring_thread);
    if (transfer->done_already()) return block(std::move(transfer), false);
    if (!transfer->has_fd()) return block(std::move(transfer), true);
    push(transfer.release());
  }

  /// What the kernel cannot do alone goes to threads, made on first need: `done` must never run
  /// on the thread that submits.
  void block(std::unique_ptr<Transfer> transfer, bool move_bytes) {
    std::call_once(blocking_once_,
                   [&] { blocking_ = std::make_unique<ThreadPool>(kBlockingThreads); });
    blocking_->submit([this, move_bytes, shared = std::shared_ptr<Transfer>(std::move(transfer))] {
      on_uring_thread = true;
      if (move_bytes) shared->run_blocking();
      finish(*shared);
    });
  }

  void finish(Transfer& transfer) {
    flight_.leave_slot();
    transfer.finish();
    flight_.finish();
  }

  /// Hands a transfer to the kernel; nullptr ends the completing thread.
  void push(Transfer* transfer) {
    offer([&](io_uring_sqe* entry) { prepare(entry, transfer); });
  }

  template <typename Fill>
  void offer(Fill&& fill) {
    std::unique_lock lock(submit_mutex_);
    io_uring_sqe* entry = ::io_uring_get_sqe(&ring_);
    while (entry == nullptr) {  // only when `done` submits more than the depth
      flush(lock);
      entry = ::io_uring_get_sqe(&ring_);
    }
    fill(entry);
    flush(lock);
  }

  /// Asks for everything back that the kernel has not begun. Kernels have been seen to forget a
  /// write that they had put off for a worker of theirs (6.18: no worker, no completion, for ever).
  /// What comes back as cancelled is done by our own threads; what is under way is not disturbed.
  void reclaim() {
    offer([](io_uring_sqe* entry) {
      ::io_uring_prep_cancel64(entry, 0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
      ::io_uring_sqe_set_data64(entry, kReclaim);
    });
  }

  /// The next completion, or null if there was none for as long as our patience lasts.
  io_uring_cqe* wait_for_one() {
    io_uring_cqe* event = nullptr;
    if ((ring_.features & IORING_FEAT_EXT_ARG) == 0) {  // a timeout would submit
      return ::io_uring_wait_cqe(&ring_, &event) < 0 ? nullptr : event;
    }
    __kernel_timespec timeout{.tv_sec = patience_.count() / 1000,
                              .tv_nsec = patience_.count() % 1000 * 1'000'000};
    const int result = ::io_uring_wait_cqe_timeout(&ring_, &event, &timeout);
    if (result == -ETIME && !flight_.idle()) reclaim();
    return result < 0 ? nullptr : event;
  }

  static void prepare(io_uring_sqe* entry, Transfer* transfer) {
    if (transfer == nullptr)
      ::io_uring_prep_nop(entry);
    else if (transfer->is_read())
      ::io_uring_prep_read(entry, transfer->fd(), transfer->data(), transfer->count_bytes(),
                           transfer->offset_bytes());
    else
      ::io_uring_prep_write(entry, transfer->fd(), transfer->data(), transfer->count_bytes(),
                            transfer->offset_bytes());
    ::io_uring_sqe_set_data(entry, transfer);
  }

  /// Entries that the kernel did not take yet (it lacks memory for a moment) are offered again.
  void flush(std::unique_lock<std::mutex>& lock) {
    while (::io_uring_sq_ready(&ring_) > 0 && ::io_uring_submit(&ring_) < 0) {
      lock.unlock();
      ::sched_yield();
      lock.lock();
    }
  }

  void complete() {
    on_uring_thread = true;
    while (true) {
      io_uring_cqe* const event = wait_for_one();
      if (event == nullptr) continue;  // interrupted, or nothing came
      const bool reclaimed = ::io_uring_cqe_get_data64(event) == kReclaim;
      auto* transfer = reclaimed ? nullptr : static_cast<Transfer*>(::io_uring_cqe_get_data(event));
      const int result = event->res;
      ::io_uring_cqe_seen(&ring_, event);
      if (reclaimed) continue;
      if (transfer == nullptr) return;
      // The kernel orders the submitter's writes before this; the lock says so to the compiler
      // and to ThreadSanitizer, which do not see through the ring.
      submit_mutex_.lock();
      submit_mutex_.unlock();
      proceed(std::unique_ptr<Transfer>(transfer), result);
    }
  }

  void proceed(std::unique_ptr<Transfer> transfer, int result) {
    switch (transfer->advance(result)) {
      case Transfer::Next::kStep:
        return push(transfer.release());
      case Transfer::Next::kBlocking:
        return block(std::move(transfer), true);
      case Transfer::Next::kDone:
        return finish(*transfer);
    }
  }

  static constexpr unsigned kBlockingThreads = 4;
  static constexpr std::uint64_t kReclaim = 1;  // no transfer's address

  io_uring ring_;
  std::chrono::milliseconds patience_;
  FlightCounter flight_;
  std::mutex submit_mutex_;
  std::once_flag blocking_once_;
  std::unique_ptr<ThreadPool> blocking_;
  std::thread completer_;
};

}  // namespace

Result<std::unique_ptr<IoQueue>> make_uring_queue(unsigned depth,
                                                  std::chrono::milliseconds patience) {
  io_uring ring{};
  const int result = [&] {
    const std::lock_guard guard(ring_address_mutex());
    return ::io_uring_queue_init(std::bit_ceil(depth + 1), &ring, 0);
  }();
  if (result == 0) return std::make_unique<UringQueue>(ring, depth, patience);
  Error error = os_error(-result, "set up io_uring", "");
  error.code = ErrorCode::kUnsupported;
  return fail(std::move(error));
}

}  // namespace kilter::io
