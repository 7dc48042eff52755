#include "io/io_queue.h"

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "io/io_queue_base.h"

namespace kilter::io {
namespace {

constexpr unsigned kDepthMax = 1024;

/// What the environment asks for; anything else leaves the choice to us.
IoQueueKind kind_from_environment(IoQueueKind kind) {
  const char* value = std::getenv("KILTER_IO");
  if (kind != IoQueueKind::kAuto || value == nullptr) return kind;
  if (std::string_view(value) == "threads") return IoQueueKind::kThreads;
  if (std::string_view(value) == "uring") return IoQueueKind::kUring;
  return kind;
}

}  // namespace

Result<std::unique_ptr<IoQueue>> make_io_queue(IoQueueKind kind, unsigned depth) {
  depth = std::clamp(depth, 1U, kDepthMax);
  const IoQueueKind chosen = kind_from_environment(kind);
  if (chosen == IoQueueKind::kThreads) return make_thread_queue(depth);
  auto queue = make_uring_queue(depth);
  if (queue || kind == IoQueueKind::kUring) return queue;
  return make_thread_queue(depth);
}

}  // namespace kilter::io
