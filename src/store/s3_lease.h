// One writer at a time on an endpoint without conditional writes: spec/store-s3.md, "Lease".
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "kilter/error.h"
#include "kilter/progress.h"

#include "io/object_store.h"

namespace kilter::store {

struct LeaseOptions {
  /// A lease older than this, by the server's clock, belongs to nobody. All writers must agree.
  std::chrono::seconds lease{120};
  std::chrono::milliseconds wait_max{60'000};  ///< for others before giving up
  std::chrono::milliseconds pause{200};        ///< between looks at the leases
  const CancelToken* cancel = nullptr;
};

/// Runs `change` while this process alone holds the lease on `reference` ("heads/main").
///
/// The change has begun within a quarter of the lease's time, and should be one small put. A lease
/// is no fence: what the specification says about slow writers holds.
///
/// Errors: those of `change`; kIo if others hold the lease all the time, and if the lease ran out
/// before the change was done, so that another writer may have come between; kCancelled.
Status with_lease(io::ObjectStore& objects, const std::string& reference,
                  const LeaseOptions& options, const std::function<Status()>& change);

/// Puts refs/<reference> if its etag is still `seen_etag` (empty: if it does not exist), under the
/// lease. Errors: kAlreadyExists if it is not; as with_lease().
Result<io::ObjectInfo> replace_under_lease(io::ObjectStore& objects, const std::string& reference,
                                           const std::string& seen_etag, Bytes bytes,
                                           const LeaseOptions& options);

}  // namespace kilter::store
