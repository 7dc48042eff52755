#include "store/s3_lease.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <thread>

#include "base/try.h"

namespace kilter::store {
namespace {

using Clock = std::chrono::steady_clock;

/// Between two seconds of the server's clock, and between its listing and ours.
constexpr std::int64_t kLeaseMarginSeconds = 5;
/// The change must begin within this part of the lease, so that the rest is left for doing it.
constexpr int kLeaseBeginPart = 4;

std::uint64_t random_number() {
  thread_local std::mt19937_64 engine{std::random_device()()};
  return engine();
}

/// One lease object of ours, from its put to its removal.
class Lease {
 public:
  enum class State : std::uint8_t { kHeld, kWait, kLost };

  Lease(io::ObjectStore& objects, const std::string& reference, const LeaseOptions& options)
      : objects_(objects),
        options_(options),
        folder_(fmt::format("refs/.lease/{}/", reference)),
        name_(fmt::format("{}{:016x}{:016x}", folder_, random_number(), random_number())) {}
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  ~Lease() { static_cast<void>(objects_.remove(name_)); }  // what stays runs out

  Status begin() {
    const std::string text = fmt::format("{{\"lease_seconds\":{}}}\n", options_.lease.count());
    KILTER_TRY(objects_.put(name_, as_bytes(text)));
    return ok();
  }

  /// Looks at all leases. Held: only ours is there, and as long as it stays nobody else will see
  /// only his. Ours is the lowest of several: wait. Otherwise it has to go.
  Result<State> look() {
    KILTER_ASSIGN(const auto all, objects_.list(folder_));
    const auto own = std::find_if(
        all.begin(), all.end(), [this](const io::ObjectInfo& info) { return info.name == name_; });
    if (own == all.end()) return State::kLost;  // somebody judged it to have run out
    bool alone = true;
    for (const io::ObjectInfo& other : all) {
      if (other.name == name_ || other.name.find('/', folder_.size()) != std::string::npos)
        continue;
      if (has_run_out(other, *own)) {
        KILTER_TRY(objects_.remove(other.name));
        continue;
      }
      alone = false;
      if (other.name < name_) return State::kLost;
    }
    if (age() * kLeaseBeginPart > options_.lease) return State::kLost;
    return alone ? State::kHeld : State::kWait;
  }

  bool has_run_out() const { return age() > options_.lease; }

 private:
  /// Since before the put: never younger than the server's view.
  Clock::duration age() const { return Clock::now() - began_; }

  /// By the server's clock alone, which stamped both.
  bool has_run_out(const io::ObjectInfo& other, const io::ObjectInfo& own) const {
    const auto since = std::chrono::duration_cast<std::chrono::seconds>(age()).count();
    const std::int64_t now = own.modified_unix_seconds + since;
    return now - other.modified_unix_seconds > options_.lease.count() + kLeaseMarginSeconds;
  }

  io::ObjectStore& objects_;
  const LeaseOptions& options_;
  const std::string folder_;
  const std::string name_;
  const Clock::time_point began_ = Clock::now();
};

/// Up to twice the pause, so that two who met do not meet again.
Status pause(const LeaseOptions& options) {
  const auto bound = static_cast<std::uint64_t>(options.pause.count()) * 2 + 1;
  std::this_thread::sleep_for(
      std::chrono::milliseconds(static_cast<std::int64_t>(random_number() % bound)));
  return RunContext{.cancel = options.cancel}.check();
}

Status change_under(const Lease& lease, const std::string& reference,
                    const std::function<Status()>& change) {
  KILTER_TRY(change());
  if (!lease.has_run_out()) return ok();
  return fail(Error(ErrorCode::kIo, "the lease ran out before the change was done")
                  .at_path("refs/" + reference)
                  .advise("read the reference to see whose change stands"));
}

/// True if the change was made; false if others were there.
Result<bool> try_once(io::ObjectStore& objects, const std::string& reference,
                      const LeaseOptions& options, const std::function<Status()>& change) {
  Lease lease(objects, reference, options);
  KILTER_TRY(lease.begin());
  for (;;) {
    KILTER_ASSIGN(const Lease::State state, lease.look());
    if (state == Lease::State::kLost) return false;
    if (state == Lease::State::kHeld) {
      KILTER_TRY(change_under(lease, reference, change));
      return true;
    }
    KILTER_TRY(pause(options));
  }
}

}  // namespace

Status with_lease(io::ObjectStore& objects, const std::string& reference,
                  const LeaseOptions& options, const std::function<Status()>& change) {
  const auto end = Clock::now() + options.wait_max;
  for (;;) {
    KILTER_ASSIGN(const bool done, try_once(objects, reference, options, change));
    if (done) return ok();
    if (Clock::now() >= end)
      return fail(Error(ErrorCode::kIo, "other writers hold the lease on this reference")
                      .at_path(io::join_path(objects.address(), "refs/" + reference))
                      .advise("try again; a lease left by a crash runs out by itself"));
    KILTER_TRY(pause(options));
  }
}

Result<io::ObjectInfo> replace_under_lease(io::ObjectStore& objects, const std::string& reference,
                                           const std::string& seen_etag, Bytes bytes,
                                           const LeaseOptions& options) {
  const std::string name = "refs/" + reference;
  io::ObjectInfo written;
  KILTER_TRY(with_lease(objects, reference, options, [&]() -> Status {
    const auto there = objects.head(name);
    if (!there && there.error().code != ErrorCode::kNotFound) return fail(there.error());
    if ((there ? there->etag : std::string()) != seen_etag)
      return fail(Error(ErrorCode::kAlreadyExists, "another writer was first")
                      .at_path(io::join_path(objects.address(), name)));
    KILTER_ASSIGN(written, objects.put(name, bytes));
    return ok();
  }));
  return written;
}

}  // namespace kilter::store
