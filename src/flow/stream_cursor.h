// Compressed storages, decoded forwards.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "kilter/tensor_index.h"

namespace kilter::flow {

/// Fills `out` from byte `offset_bytes` of a storage's stored (compressed) form.
using StoredRead = std::function<Status(std::uint64_t offset_bytes, std::span<std::byte> out)>;

/// One compressed stream and how far it was decoded.
class StreamCursor {
 public:
  virtual ~StreamCursor() = default;
  /// Of the next decoded byte.
  virtual std::uint64_t position() const = 0;
  /// Decodes and drops up to `offset_bytes` (not before position()), then fills `out`.
  /// Errors: kMalformed if the stream is broken or ends too early; what the coding itself can
  /// check; those of `read`. The cursor is of no use afterwards.
  virtual Status read(const StoredRead& read, std::uint64_t offset_bytes,
                      std::span<std::byte> out) = 0;
};

/// For kDeflate and kZstd. `storage` outlives the cursor.
Result<std::unique_ptr<StreamCursor>> make_stream_cursor(const StorageInfo& storage);

}  // namespace kilter::flow
