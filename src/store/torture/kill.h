// Savers and collectors that die in the middle of their work, on a real disk.
#pragma once

#include <cstdint>
#include <string>

#include "kilter/progress.h"

namespace kilter::store {

struct KillRequest {
  std::string folder;  ///< a folder of its own inside is made, and removed unless a fault is found
  unsigned rounds = 30;
  double seconds = 0;  ///< if not 0: go on for so long, however many rounds that is
  std::uint64_t tensor_bytes = 256ULL << 10;
  std::uint64_t seed = 1;
  RunContext context;
};

struct KillOutcome {
  unsigned rounds = 0;
  unsigned savers_killed = 0;
  unsigned collectors_killed = 0;
  std::uint64_t saves_reported = 0;   ///< that a saver reported before it died
  std::uint64_t commits_checked = 0;  ///< to the last byte, each time one was
  unsigned old_count = 0;  ///< rounds after which the tip was the last commit that was reported
  unsigned new_count = 0;  ///< and those after which it was the one on its way
  std::string folder;      ///< of the store
  std::string fault;       ///< the first bad state; empty if there is none
};

/// Forks savers, and collectors beside them, kills them with SIGKILL at random moments, and looks
/// after each: the store must open, every reference read to the last byte, the tip be the last
/// commit that was reported or the next. The process must have no other threads when it calls this:
/// they would not live on in its children. Errors: kIo, kNoSpace, kPermission of the folder;
/// kCancelled.
Result<KillOutcome> kill_writers(const KillRequest& request);

}  // namespace kilter::store
