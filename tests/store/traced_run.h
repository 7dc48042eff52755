// Runs a program and kills it at one of its system calls.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kilter/error.h"

namespace kilter::tests {

/// The system call, counted from 1 over all threads, at which the program is killed.
struct KillPoint {
  std::uint64_t call = 0;      ///< 0: never
  bool at_exit = false;        ///< when the call has returned, instead of before it begins
  bool changing_only = false;  ///< counts only calls that change a file system, sync or lock
};

struct TracedRun {
  bool killed = false;
  int exit_status = -1;          ///< of a run that was not killed; 128 + N if signal N ended it
  std::uint64_t call_count = 0;  ///< those that count
  std::string killed_at;         ///< the call's name; "other" for those that change nothing
};

/// Runs `command` (a path and arguments) to its end or to that point, with nothing on standard
/// output. When it returns, every thread is gone. What the kernel was doing for an io_uring goes on
/// or not, as after any kill. Errors: kUnsupported where processes may not be traced; kIo.
Result<TracedRun> run_traced(const std::vector<std::string>& command, const KillPoint& point);

}  // namespace kilter::tests
