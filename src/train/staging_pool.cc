#include "train/staging_pool.h"

#include <algorithm>

#include "base/checked.h"
#include "base/try.h"

namespace kilter::train {
namespace {

constexpr std::uint64_t kAlignBytes = 64;
constexpr std::uint64_t kTouchBytes = 16ULL << 20;  ///< between two looks whether to stop

}  // namespace

void StagingPool::stop() {
  stop_ = true;
  settle();
  stop_ = false;
}

void StagingPool::settle() {
  if (toucher_.joinable()) toucher_.join();
}

Status StagingPool::grow(std::uint64_t bytes) {
  if (bytes <= memory_.span().size()) return ok();
  stop();
  memory_ = {};  // before more is asked for: both at once may be too much
  KILTER_ASSIGN(memory_, flow::FreshMemory::map(bytes));
  used_ = 0;
  toucher_ = std::thread([this, all = memory_.span()]() mutable {
    while (!all.empty() && !stop_) {
      const auto part = all.first(std::min<std::size_t>(all.size(), kTouchBytes));
      flow::populate(part);
      all = all.subspan(part.size());
    }
  });
  return ok();
}

std::span<std::byte> StagingPool::take(std::uint64_t bytes) {
  const std::uint64_t held = round_up(bytes, kAlignBytes);
  std::uint64_t begin = used_.load();
  do {
    if (held > memory_.span().size() - std::min<std::uint64_t>(begin, memory_.span().size()))
      return {};
  } while (!used_.compare_exchange_weak(begin, begin + held));
  return memory_.span().subspan(begin, bytes);
}

}  // namespace kilter::train
