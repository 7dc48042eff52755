// A fixed set of worker threads with one queue.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace kilter {

/// Threads this process may use: the CPU affinity's count, at least 1.
unsigned usable_cpu_count();

/// Runs tasks in the order they came. Tasks must not throw. Destruction finishes what is queued.
class ThreadPool {
 public:
  /// 0 = usable_cpu_count().
  explicit ThreadPool(unsigned thread_count = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  unsigned thread_count() const { return static_cast<unsigned>(threads_.size()); }
  void submit(std::function<void()> task);
  /// Waits until nothing is queued or running.
  void wait_idle();

 private:
  void work();
  std::mutex mutex_;
  std::condition_variable wake_, idle_;
  std::deque<std::function<void()>> queue_;
  std::size_t running_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace kilter
