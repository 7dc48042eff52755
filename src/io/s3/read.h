// Reading objects: what came is what was asked for, whole and of one version.
#pragma once

#include <mutex>
#include <string>

#include "io/object_store.h"
#include "io/s3/client.h"

namespace kilter::io::s3 {

/// Ranges of one object. The first answer decides the version; every later one must be of it.
class RangeReader {
 public:
  RangeReader(Client& client, std::string key, std::string etag)
      : client_(client), key_(std::move(key)), etag_(std::move(etag)) {}
  /// `out` is not empty. May be called from several threads.
  Status read(std::uint64_t offset_bytes, std::span<std::byte> out);

 private:
  std::string etag() const;
  Status agree(std::string_view etag);

  Client& client_;
  const std::string key_;
  mutable std::mutex mutex_;
  std::string etag_;
};

/// The whole object. Errors: kLimitExceeded above `bytes_max`; as ObjectStore::read_text().
Result<ObjectStore::Text> read_whole(Client& client, const std::string& key,
                                     std::uint64_t bytes_max);

struct ContentRange {
  std::uint64_t first = 0, last = 0, total = 0;
};
/// "bytes 0-9/100". Errors: kMalformed.
Result<ContentRange> parse_content_range(std::string_view text);

/// Checks `bytes`, all of an object, against the SHA-256 that the answer states; an answer without
/// one passes. Errors: kIo.
Status check_whole(const HttpReply& reply, Bytes bytes);

}  // namespace kilter::io::s3
