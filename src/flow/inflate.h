// Compressed storages, read forwards.
#pragma once

#include <condition_variable>
#include <list>
#include <memory>
#include <mutex>
#include <span>

#include "kilter/tensor_index.h"

#include "flow/stream_cursor.h"

namespace kilter::flow {

/// One DEFLATE stream (RFC 1951, without a wrapper) and how far it was decoded.
class InflateCursor final : public StreamCursor {
 public:
  static Result<std::unique_ptr<StreamCursor>> make(const StorageInfo& storage);
  ~InflateCursor() override;

  std::uint64_t position() const override { return position_; }
  /// Where that reaches the stated size, the stream must end there and its CRC-32 agree: kMalformed
  /// if it is of another size than stated, kCorrupt for the CRC-32.
  Status read(const StoredRead& read, std::uint64_t offset_bytes,
              std::span<std::byte> out) override;

 private:
  struct Stream;
  explicit InflateCursor(const StorageInfo& storage);
  Status produce(const StoredRead& read, std::span<std::byte> out);
  Status refill(const StoredRead& read);
  Status finish(const StoredRead& read);

  const StorageInfo& storage_;
  std::unique_ptr<Stream> stream_;
  std::uint64_t position_ = 0;
  std::uint64_t taken_bytes_ = 0;  // of the stored form
  std::uint32_t crc32_ = 0;
};

/// A bounded number of cursors, so that reads in order go on where the last one stopped. Reads of
/// one storage that are under way or waiting are served in order. Thread-safe.
class InflateCache {
 public:
  static constexpr std::size_t kCursorsMax = 8;

  /// `number` identifies `storage`, which outlives the cache.
  Status read(std::size_t number, const StorageInfo& storage, const StoredRead& read,
              std::uint64_t offset_bytes, std::span<std::byte> out);

 private:
  struct Slot {
    std::size_t number;
    std::unique_ptr<StreamCursor> cursor;
    bool busy = false;
    std::uint64_t position = 0;  // where it is or, while busy, where it will be
  };
  struct Wish {
    std::size_t number;
    std::uint64_t offset_bytes;
  };
  using Slots = std::list<Slot>;

  Slots::iterator claim(std::size_t number, std::uint64_t offset_bytes);
  bool should_wait(std::size_t number, std::uint64_t offset_bytes, Slots::iterator best);

  std::mutex mutex_;
  std::condition_variable changed_;
  Slots slots_;  // most recently used first
  std::list<Wish> wishes_;
};

}  // namespace kilter::flow
