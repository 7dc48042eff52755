// Decodes chunks before they are asked for.
#pragma once

#include <condition_variable>
#include <mutex>
#include <unordered_map>

#include "base/thread_pool.h"
#include "store/read/commit_files.h"

namespace kilter::store {

/// Every chunk is decoded by one thread at a time; the store keeps it for the others. All calls may
/// come from several threads.
class ChunkAhead {
 public:
  /// `flight_bytes`: plain bytes of chunks that are waited for at once.
  ChunkAhead(std::shared_ptr<Store> store, unsigned thread_count, std::uint64_t flight_bytes);
  ~ChunkAhead();

  /// The chunk: kept, from the thread that is at it, or decoded here. Errors: as read_chunk().
  Result<PlainChunk> get(const ChunkPart& part);
  /// Has the chunk decoded in the background. False if too much is on its way already.
  bool begin(const ChunkPart& part);

 private:
  enum class Stage : std::uint8_t { kQueued, kRunning };
  Result<PlainChunk> decode(const Digest& digest);
  void run_queued(const Digest& digest, std::uint64_t bytes);

  std::shared_ptr<Store> store_;
  std::uint64_t flight_bytes_max_;
  std::mutex mutex_;
  std::condition_variable done_;
  std::unordered_map<Digest, Stage, DigestHash> flying_;
  std::uint64_t flight_bytes_ = 0;
  bool stopping_ = false;
  ThreadPool pool_;  // goes first
};

}  // namespace kilter::store
