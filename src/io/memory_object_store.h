// Objects in memory, for tests: made to fail on request.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "io/object_store.h"

namespace kilter::io {

enum class ObjectFault : std::uint8_t {
  kNone,
  kUnavailable,  ///< as 503 after all retries: kIo, and nothing happened
  kLostAnswer,   ///< the call is carried out, but its answer is lost: kIo
  kConflict,     ///< a put meets another one: kAlreadyExists, and nothing happened
  kForbidden,    ///< kPermission, and nothing happened
};

/// How the endpoint treats conditions of puts.
enum class Conditions : std::uint8_t { kKept, kRefused, kIgnored };

/// Knows what S3 knows; each call of the interface counts as one.
class MemoryObjectStore : public ObjectStore {
 public:
  /// The call with this number (from 0) fails so; the ones after it work again, unless `sticky`.
  virtual void fail_at(std::uint64_t call, ObjectFault fault, bool sticky = false) = 0;
  virtual std::uint64_t call_count() const = 0;
  virtual void set_conditions(Conditions conditions) = 0;
  /// The server's clock, from which objects take their times; it stands still between calls.
  virtual void set_time(std::int64_t unix_seconds) = 0;
};
std::unique_ptr<MemoryObjectStore> make_memory_object_store(std::string address = "s3://memory");

}  // namespace kilter::io
