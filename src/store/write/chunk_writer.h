// Stores chunks: hashes them, leaves out what is there already, encodes the rest on all threads,
// writes packs in the order the chunks came.
#pragma once

#include <condition_variable>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <unordered_set>
#include <vector>

#include "base/thread_pool.h"
#include "store/store.h"
#include "store/write/pack_writer.h"
#include "store/write/raw_share.h"
#include "store/write/spare_bytes.h"

namespace kilter::store {

struct ChunkWriterOptions {
  unsigned thread_count = 0;                  ///< 0 = usable_cpu_count()
  std::uint64_t memory_bytes = 192ULL << 20;  ///< of chunks on their way
  Effort effort = Effort::kFast;
  bool keep_disk_busy = false;  ///< leave chunks raw where encoding is slower than the disk
  bool raw = false;             ///< encode no data
  bool discard = false;         ///< encode and count, write nothing
  std::set<Digest> condemned;   ///< packs that count as gone
};

struct ChunkWriterTotals {
  std::uint64_t chunk_count = 0;
  std::uint64_t new_chunk_count = 0;
  std::uint64_t plain_bytes = 0;
  std::uint64_t new_plain_bytes = 0;
  std::uint64_t stored_bytes = 0;  ///< payloads of the new ones
  std::uint64_t unread_bytes = 0;  ///< of add_known(), part of plain_bytes
};

/// A chunk is read in blocks of so many bytes, the last one shorter: small enough to stay in a
/// processor's cache until it is hashed.
inline constexpr std::size_t kChunkReadBytes = 256 << 10;

/// A chunk to be stored.
struct ChunkJob {
  /// Fills one block of the chunk's plain bytes; runs on a worker.
  std::function<Status(std::uint64_t at, std::span<std::byte>)> read;
  std::uint64_t bytes = 0;
  ChunkKind kind = ChunkKind::kData;
  Element element = Element::kBytes;
  /// Receives the name; must stay until finish().
  Digest* digest = nullptr;
};

/// A chunk as it shall lie in a pack: all of the record but its place there.
struct MadeChunk {
  ChunkRecord record;
  RawBytes payload;
};

/// For one thread; its workers are its own. After an error every later call returns it.
class ChunkWriter {
 public:
  ChunkWriter(Store& store, ChunkWriterOptions options);
  ~ChunkWriter();

  /// Returns at once, or once there is room for the chunk.
  Status add(ChunkJob job);
  /// The same for bytes that are in memory; they are copied.
  Status add(std::vector<std::byte> bytes, ChunkKind kind, Digest* digest);
  /// A chunk that `make` encodes on a worker; it is written even if the store has it in another
  /// form. `bytes`: what making it needs in memory.
  Status add_made(std::function<Result<MadeChunk>()> make, std::uint64_t bytes);
  /// Counts these as stored and fills `digests` with them, if the store has all of them; otherwise
  /// does nothing and returns false.
  bool add_known(std::span<const Digest> chunks, std::uint64_t plain_bytes,
                 std::span<Digest> digests);
  Store& store() const { return store_; }
  /// All that was added has its digest afterwards.
  Status wait();
  /// What is in packs that are closed, for the index. Only between wait() and the next add().
  Result<IndexContent> take_closed();
  /// Ends packs, makes them durable; returns what the index must say. Call it once.
  Result<IndexContent> finish();
  const ChunkWriterTotals& totals() const { return totals_; }

 private:
  struct Ready;
  struct Payload;
  Result<std::uint64_t> reserve(std::uint64_t bytes);
  void run(std::uint64_t number, std::uint64_t bytes, const std::function<Status(Ready&)>& work);
  Status make(ChunkJob& job, Ready& ready);
  Status read(ChunkJob& job, std::span<std::byte> plain, ChunkRecord& record);
  Result<bool> claim(const Digest& digest);
  bool leave_raw(const ChunkJob& job);
  void release(std::uint64_t bytes);
  void hand_over(std::uint64_t number, Ready ready);
  void count(const Ready& ready);
  Status write(const ChunkRecord& record, std::shared_ptr<const Payload> payload);
  Status close_pack();
  Status wait_published();

  Store& store_;
  ChunkWriterOptions options_;
  std::shared_ptr<const Index> index_;

  std::mutex mutex_;
  std::condition_variable changed_;
  Status error_;
  std::uint64_t in_flight_bytes_ = 0;
  std::uint64_t next_number_ = 0;   // of the next chunk added
  std::uint64_t next_written_ = 0;  // of the next chunk to be written
  bool writing_ = false;            // a worker is writing what is ready
  std::map<std::uint64_t, Ready> ready_;
  std::unordered_set<Digest, DigestHash> claimed_;
  RawShare raw_share_;
  SpareBytes spare_{options_.memory_bytes / 3};  // of the same budget
  ChunkWriterTotals totals_;

  std::unique_ptr<PackWriter> pack_;
  IndexContent content_;
  std::future<Status> publishing_;    // of the pack before, while the next one is being filled
  std::unique_ptr<ThreadPool> pool_;  // goes first
};

}  // namespace kilter::store
