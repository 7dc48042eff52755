// SIGPIPE kept from the process while libcurl writes to sockets.
#pragma once

#include <pthread.h>
#include <signal.h>

#include <ctime>

namespace kilter::io::s3 {

/// Older versions of libcurl with OpenSSL write to sockets without MSG_NOSIGNAL; its own way to
/// ignore the signal changes the whole process and is off with CURLOPT_NOSIGNAL.
class SigpipeBlocked {
 public:
  SigpipeBlocked() {
    sigset_t pending;
    ::sigemptyset(&pipe_);
    ::sigaddset(&pipe_, SIGPIPE);
    ::sigpending(&pending);
    was_pending_ = ::sigismember(&pending, SIGPIPE) == 1;
    ::pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  SigpipeBlocked(const SigpipeBlocked&) = delete;
  SigpipeBlocked& operator=(const SigpipeBlocked&) = delete;
  ~SigpipeBlocked() {
    const timespec now{};
    if (!was_pending_) static_cast<void>(::sigtimedwait(&pipe_, nullptr, &now));
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

 private:
  sigset_t pipe_{}, before_{};
  bool was_pending_ = false;
};

}  // namespace kilter::io::s3
