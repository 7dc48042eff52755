// Strict access to the members of a JSON object that came from a store.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "store/digest.h"

namespace kilter::store {

/// The first fault is kept and every later call returns something harmless: callers check once.
class JsonFields {
 public:
  JsonFields(const Json& object, std::string what);

  std::uint64_t u64(const char* key, std::uint64_t max);
  std::string text(const char* key);
  std::string text_or(const char* key, std::string otherwise);
  Digest digest(const char* key);
  /// An array (empty if the member is missing and `optional`).
  const Json& array(const char* key, bool optional = false);
  const Json& member(const char* key);

  /// Conversions of loose values with the same bookkeeping.
  Digest to_digest(const Json& value);
  std::uint64_t to_u64(const Json& value, std::uint64_t max);

  void fault(const std::string& message);
  Status status() const { return status_; }
  bool sound() const { return status_.has_value(); }

 private:
  const Json* find(const char* key) const;

  const Json& object_;
  std::string what_;
  Status status_;
};

}  // namespace kilter::store
