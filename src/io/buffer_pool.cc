#include "io/buffer_pool.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>

#include "base/checked.h"
#include "base/try.h"

namespace kilter::io {
namespace {

constexpr std::size_t kHugePageBytes = std::size_t{2} << 20;
constexpr std::size_t kBufferBytesMax = std::numeric_limits<std::size_t>::max() / 4;

/// Fresh zero pages at a multiple of `align_bytes`; nullptr if the system has none.
std::byte* map_aligned(std::size_t bytes, std::size_t align_bytes) {
  const std::size_t mapped = bytes + align_bytes;
  void* raw = ::mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (raw == MAP_FAILED) return nullptr;
  auto* begin = static_cast<std::byte*>(raw);
  const auto address = reinterpret_cast<std::uintptr_t>(raw);
  const std::size_t lead = (align_bytes - address % align_bytes) % align_bytes;
  if (lead > 0) ::munmap(begin, lead);
  if (lead < align_bytes) ::munmap(begin + lead + bytes, align_bytes - lead);
  return begin + lead;
}

std::byte* map_buffer(std::size_t bytes) {
  if (bytes < kHugePageBytes) return map_aligned(bytes, kDirectAlignBytes);
  std::byte* data = map_aligned(bytes, kHugePageBytes);
  // A wish only: without huge pages the buffer works as well, more slowly.
  if (data != nullptr) ::madvise(data, bytes, MADV_HUGEPAGE);
  return data;
}

}  // namespace

struct BufferPool::State {
  std::size_t buffer_bytes = 0;
  std::size_t count_max = 0;
  std::mutex mutex;
  std::condition_variable returned;
  std::vector<std::byte*> mapped;
  std::vector<std::byte*> free;  // last returned is taken first: it is still in the caches
};

Buffer::Buffer(Buffer&& other) noexcept
    : pool_(std::exchange(other.pool_, nullptr)),
      data_(std::exchange(other.data_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(pool_, other.pool_);
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

Buffer::~Buffer() {
  if (data_ == nullptr) return;
  BufferPool::State& state = *pool_->state_;
  // Notified under the lock: the pool may go as soon as its last buffer is back.
  const std::lock_guard lock(state.mutex);
  state.free.push_back(data_);
  state.returned.notify_one();
}

BufferPool::BufferPool(std::size_t buffer_bytes, std::size_t buffer_count_max)
    : state_(std::make_unique<State>()) {
  const std::size_t wanted = std::clamp(buffer_bytes, std::size_t{1}, kBufferBytesMax);
  state_->buffer_bytes = round_up(wanted, kDirectAlignBytes);
  state_->count_max = std::max(buffer_count_max, std::size_t{1});
}

BufferPool::~BufferPool() {
  const std::lock_guard lock(state_->mutex);
  KILTER_CHECK(state_->free.size() == state_->mapped.size());
  for (std::byte* data : state_->mapped) ::munmap(data, state_->buffer_bytes);
}

std::size_t BufferPool::buffer_bytes() const { return state_->buffer_bytes; }

Result<Buffer> BufferPool::try_take() {
  State& state = *state_;
  const std::lock_guard lock(state.mutex);
  Buffer buffer;
  if (state.free.empty()) {
    if (state.mapped.size() >= state.count_max) return buffer;
    state.mapped.reserve(state.mapped.size() + 1);
    state.free.reserve(state.mapped.size() + 1);  // so that giving back never allocates
    std::byte* data = map_buffer(state.buffer_bytes);
    if (data == nullptr)
      return fail(ErrorCode::kLimitExceeded, "the system refuses memory for a buffer of " +
                                                 std::to_string(state.buffer_bytes) + " bytes");
    state.mapped.push_back(data);
    state.free.push_back(data);
  }
  buffer.pool_ = this;
  buffer.data_ = state.free.back();
  buffer.bytes_ = state.buffer_bytes;
  state.free.pop_back();
  return buffer;
}

Result<Buffer> BufferPool::take() {
  while (true) {
    KILTER_ASSIGN(Buffer buffer, try_take());
    if (buffer) return buffer;
    std::unique_lock lock(state_->mutex);
    state_->returned.wait(lock, [&] { return !state_->free.empty(); });
  }
}

}  // namespace kilter::io
