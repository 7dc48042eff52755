// Small objects of a bucket that are replaced now and then. Source: spec/store-s3.md, "References
// with conditions" and "Lease".
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "io/object_store.h"

namespace kilter::store {

/// All calls may come from several threads.
class SmallObjects {
 public:
  explicit SmallObjects(std::shared_ptr<io::ObjectStore> objects) : objects_(std::move(objects)) {}

  io::ObjectStore& objects() const { return *objects_; }
  /// For stores that require it: changes happen under a lease, not by conditions.
  void use_lease(bool lease) { lease_ = lease; }

  /// nullopt if it is missing. Errors: as ObjectStore::read_text().
  Result<std::optional<std::string>> read(const std::string& name) const;
  /// Replaces it, or removes it (`text` empty), if it still is `expected`; false if it is not.
  /// Removing is not conditional on servers: it may take a change of the same moment with it.
  Result<bool> replace(const std::string& name, const std::optional<std::string>& text,
                       const std::optional<std::string>& expected) const;
  /// The server's clock, in seconds since 1970, from a probe that is written and removed.
  Result<std::int64_t> server_time() const;

 private:
  using Text = io::ObjectStore::Text;
  Result<std::optional<Text>> look(const std::string& name) const;
  Result<bool> change(const std::string& name, const std::optional<std::string>& text,
                      const std::optional<std::string>& expected, bool conditional) const;

  std::shared_ptr<io::ObjectStore> objects_;
  std::atomic<bool> lease_ = false;
};

/// A name for what shall show how the server behaves: `refs/.probe-<random>`.
std::string probe_name();

}  // namespace kilter::store
