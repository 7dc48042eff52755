// A small object that shows by its age whether who wrote it lives: sessions and locks of a bucket.
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "store/place/small_objects.h"

namespace kilter::store {

/// All who use a store must agree on `alive`.
struct KeepTimes {
  std::chrono::milliseconds renew{30'000};
  /// An object not renewed for longer, by the server's clock, belongs to nobody.
  std::chrono::seconds alive{600};
};

/// Renewed by a thread of its own until it is destroyed, which removes the object.
class KeptObject {
 public:
  /// Puts `text`, which nobody else writes, where `instead_of` stands (nothing, if empty). Null if
  /// something else stands there.
  static Result<std::unique_ptr<KeptObject>> begin(std::shared_ptr<SmallObjects> small,
                                                   std::string name, std::string text,
                                                   const std::optional<std::string>& instead_of,
                                                   const KeepTimes& times);
  KeptObject(const KeptObject&) = delete;
  KeptObject& operator=(const KeptObject&) = delete;
  ~KeptObject();

  /// Renews it. Errors: kIo if others may take it, or have taken it, for abandoned; as the
  /// server's.
  Status still_held();

 private:
  KeptObject(std::shared_ptr<SmallObjects> small, std::string name, std::string text,
             const KeepTimes& times);
  void run();
  Status renew();
  bool run_out() const;
  Error lost_error() const;

  std::shared_ptr<SmallObjects> small_;
  const std::string name_;
  const std::string text_;
  const KeepTimes times_;

  std::mutex renewing_;  // guards what follows
  bool lost_ = false;
  std::chrono::nanoseconds renewed_{};  // when the last renewal that went well began

  std::mutex stopping_;  // guards stop_
  std::condition_variable stopped_;
  bool stop_ = false;
  std::thread thread_;
};

/// Who this process is, as JSON; no two calls return the same.
std::string owner_text();

}  // namespace kilter::store
