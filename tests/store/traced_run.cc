#include "traced_run.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <map>

namespace kilter::tests {
namespace {

constexpr int kSyscallStop = SIGTRAP | 0x80;  // PTRACE_O_TRACESYSGOOD
constexpr long kOptions = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK |
                          PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;

struct NamedCall {
  std::uint64_t number;
  const char* name;
};
constexpr NamedCall kChangingCalls[] = {
    {SYS_write, "write"},
    {SYS_pwrite64, "pwrite"},
    {SYS_writev, "writev"},
    {SYS_pwritev, "pwritev"},
    {SYS_pwritev2, "pwritev2"},
    {SYS_io_uring_enter, "io_uring_enter"},
    {SYS_copy_file_range, "copy_file_range"},
    {SYS_fsync, "fsync"},
    {SYS_fdatasync, "fdatasync"},
    {SYS_sync_file_range, "sync_file_range"},
    {SYS_ftruncate, "ftruncate"},
    {SYS_fallocate, "fallocate"},
    {SYS_renameat, "rename"},
    {SYS_renameat2, "rename"},
    {SYS_linkat, "link"},
    {SYS_unlinkat, "unlink"},
    {SYS_mkdirat, "mkdir"},
    {SYS_flock, "flock"},
    {SYS_exit_group, "exit_group"},
#ifdef SYS_rename
    {SYS_rename, "rename"},
    {SYS_link, "link"},
    {SYS_unlink, "unlink"},
    {SYS_mkdir, "mkdir"},
    {SYS_rmdir, "rmdir"},
#endif
};

/// Empty for a call that changes nothing.
std::string changing_name(std::uint64_t number, std::uint64_t third_argument) {
  if (number == SYS_openat && (third_argument & O_CREAT) != 0) return "open to create";
  for (const NamedCall& call : kChangingCalls)
    if (call.number == number) return call.name;
  return {};
}

tl::unexpected<Error> refused(const char* what) {
  return fail(ErrorCode::kUnsupported, std::string("processes cannot be traced here: ") + what);
}

/// Waits until it is traced, then becomes the program. Only calls that are safe after a fork.
[[noreturn]] void become(char* const* command, int ready) {
  char byte = 0;
  if (::read(ready, &byte, 1) != 1) ::_exit(126);
  const int nothing = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  ::dup2(nothing, STDOUT_FILENO);
  ::execv(command[0], command);
  ::_exit(127);
}

class Tracer {
 public:
  explicit Tracer(const KillPoint& point) : point_(point) {}

  Result<TracedRun> run(const std::vector<std::string>& command) {
    std::vector<char*> arguments;
    for (const std::string& part : command) arguments.push_back(const_cast<char*>(part.c_str()));
    arguments.push_back(nullptr);
    std::array<int, 2> ready{};
    if (::pipe2(ready.data(), O_CLOEXEC) != 0) return fail(ErrorCode::kIo, "no pipe can be made");
    pid_ = ::fork();
    if (pid_ == 0) become(arguments.data(), ready[0]);
    const bool forked = pid_ > 0;
    const bool seized = forked && ::ptrace(PTRACE_SEIZE, pid_, nullptr, kOptions) == 0 &&
                        ::ptrace(PTRACE_INTERRUPT, pid_, nullptr, nullptr) == 0;
    if (forked && !seized) ::kill(pid_, SIGKILL);
    if (seized) static_cast<void>(!::write(ready[1], "x", 1));
    ::close(ready[0]);
    ::close(ready[1]);
    if (!forked) return fail(ErrorCode::kIo, "no process can be started");
    follow();
    if (!seized) return refused("ptrace is not permitted");
    if (!fault_.empty()) return refused(fault_.c_str());
    return run_;
  }

 private:
  /// Until no thread of it is left.
  void follow() {
    while (true) {
      int status = 0;
      const pid_t thread = ::waitpid(-1, &status, __WALL);
      if (thread < 0 && errno == EINTR) continue;
      if (thread < 0) return;
      if (WIFSTOPPED(status)) {
        stopped(thread, status);
      } else if (thread == pid_ && !run_.killed) {
        run_.exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      }
    }
  }

  void stopped(pid_t thread, int status) {
    const int event = status >> 16;
    int signal = WSTOPSIG(status);
    if (event == PTRACE_EVENT_EXEC) begun_ = true;
    if (signal == kSyscallStop && begun_) call_stopped(thread);
    if (run_.killed) return;  // it dies where it stands
    if (event != 0 || signal == kSyscallStop) signal = 0;
    ::ptrace(PTRACE_SYSCALL, thread, nullptr, signal);
  }

  void call_stopped(pid_t thread) {
    __ptrace_syscall_info info{};
    if (::ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof info, &info) <= 0) {
      if (errno != ESRCH) fault_ = "the kernel is older than 5.3";
      return;
    }
    if (info.op == PTRACE_SYSCALL_INFO_ENTRY) entered(thread, info.entry.nr, info.entry.args[2]);
    if (info.op == PTRACE_SYSCALL_INFO_EXIT && thread == leaving_) kill();
  }

  void entered(pid_t thread, std::uint64_t number, std::uint64_t third_argument) {
    const std::string name = changing_name(number, third_argument);
    if (point_.changing_only && name.empty()) return;
    if (++run_.call_count != point_.call) return;
    run_.killed_at = name.empty() ? "other" : name;
    if (point_.at_exit) leaving_ = thread;
    if (!point_.at_exit) kill();
  }

  void kill() {
    if (run_.killed) return;
    run_.killed = true;
    ::kill(pid_, SIGKILL);
  }

  const KillPoint point_;
  TracedRun run_;
  std::string fault_;
  pid_t pid_ = -1;
  pid_t leaving_ = -1;  // the thread whose present call is the point
  bool begun_ = false;  // it has become the program
};

}  // namespace

Result<TracedRun> run_traced(const std::vector<std::string>& command, const KillPoint& point) {
  return Tracer(point).run(command);
}

}  // namespace kilter::tests
