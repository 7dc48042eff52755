#include "train/preemption.h"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <mutex>

#include "io/os_error.h"

namespace kilter::train {
namespace {

std::atomic<bool> came{false};
struct sigaction before{};

void on_sigterm(int number, siginfo_t* info, void* context) {
  came = true;
  if ((before.sa_flags & SA_SIGINFO) != 0 && before.sa_sigaction != nullptr) {
    before.sa_sigaction(number, info, context);
  } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
    before.sa_handler(number);
  }
}

}  // namespace

Status watch_sigterm() {
  static std::mutex mutex;
  const std::lock_guard guard(mutex);
  struct sigaction now{};
  if (::sigaction(SIGTERM, nullptr, &now) == 0 && (now.sa_flags & SA_SIGINFO) != 0 &&
      now.sa_sigaction == on_sigterm)
    return ok();
  before = now;
  struct sigaction wanted{};
  wanted.sa_sigaction = on_sigterm;
  wanted.sa_flags = SA_SIGINFO | SA_RESTART;
  ::sigemptyset(&wanted.sa_mask);
  if (::sigaction(SIGTERM, &wanted, nullptr) != 0)
    return fail(io::os_error(errno, "watch SIGTERM", ""));
  return ok();
}

bool sigterm_came() { return came; }

}  // namespace kilter::train
