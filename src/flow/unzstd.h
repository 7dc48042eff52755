// Zstandard streams, decoded forwards.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "flow/stream_cursor.h"

namespace kilter::flow {

/// The frames of a storage, one after the other (RFC 8878). The storage's `bytes` are how many
/// decoded bytes tensors may use: the stream may go on behind them.
class ZstdCursor final : public StreamCursor {
 public:
  static Result<std::unique_ptr<StreamCursor>> make(const StorageInfo& storage);
  ~ZstdCursor() override;
  std::uint64_t position() const override { return position_; }
  Status read(const StoredRead& read, std::uint64_t offset_bytes,
              std::span<std::byte> out) override;

  /// Up to `out.size()` bytes; fewer only where the stream ends. Returns how many.
  Result<std::size_t> read_some(const StoredRead& read, std::span<std::byte> out);

 private:
  struct Stream;
  explicit ZstdCursor(const StorageInfo& storage);

  const StorageInfo& storage_;
  std::unique_ptr<Stream> stream_;
  std::uint64_t position_ = 0;
  std::uint64_t taken_bytes_ = 0;  // of the stored form
};

/// The first `bytes_max` decoded bytes of a stream of `stored_bytes` bytes, all of them if it has
/// fewer. Memory grows with what is decoded. Errors: kMalformed, those of `read`.
Result<std::vector<std::byte>> decode_zstd(const StoredRead& read, std::uint64_t stored_bytes,
                                           std::uint64_t bytes_max);

}  // namespace kilter::flow
