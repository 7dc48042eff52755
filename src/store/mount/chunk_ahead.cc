#include "store/mount/chunk_ahead.h"

namespace kilter::store {

ChunkAhead::ChunkAhead(std::shared_ptr<Store> store, unsigned thread_count,
                       std::uint64_t flight_bytes)
    : store_(std::move(store)), flight_bytes_max_(flight_bytes), pool_(thread_count) {}

ChunkAhead::~ChunkAhead() {
  const std::lock_guard guard(mutex_);
  stopping_ = true;
}

Result<PlainChunk> ChunkAhead::get(const ChunkPart& part) {
  std::unique_lock guard(mutex_);
  while (true) {
    const auto found = flying_.find(part.digest);
    // What is only queued is taken from the queue: others may lie in front of it there.
    if (found == flying_.end() || found->second == Stage::kQueued) break;
    done_.wait(guard);
  }
  flying_[part.digest] = Stage::kRunning;
  guard.unlock();
  return decode(part.digest);
}

/// The digest is marked as running.
Result<PlainChunk> ChunkAhead::decode(const Digest& digest) {
  auto chunk = store_->read_chunk(digest, true);
  const std::lock_guard guard(mutex_);
  flying_.erase(digest);
  done_.notify_all();
  return chunk;
}

bool ChunkAhead::begin(const ChunkPart& part) {
  const std::lock_guard guard(mutex_);
  if (flight_bytes_ + part.chunk_bytes > flight_bytes_max_) return false;
  if (!flying_.emplace(part.digest, Stage::kQueued).second) return true;
  flight_bytes_ += part.chunk_bytes;
  pool_.submit(
      [this, digest = part.digest, bytes = part.chunk_bytes] { run_queued(digest, bytes); });
  return true;
}

void ChunkAhead::run_queued(const Digest& digest, std::uint64_t bytes) {
  std::unique_lock guard(mutex_);
  const auto found = flying_.find(digest);
  if (found != flying_.end() && found->second == Stage::kQueued && !stopping_) {
    found->second = Stage::kRunning;
    guard.unlock();
    // A fault is reported to whoever reads the chunk.
    static_cast<void>(decode(digest));
    guard.lock();
  }
  flight_bytes_ -= bytes;
}

}  // namespace kilter::store
