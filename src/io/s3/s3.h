// Objects in an S3-compatible bucket: Amazon's, or any endpoint that speaks its protocol.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "kilter/error.h"
#include "kilter/progress.h"

#include "io/object_store.h"

namespace kilter::io {

/// What is empty or absent comes from the environment, then from the profile files, then from
/// Amazon's defaults; src/io/s3/README.md lists them.
struct S3Options {
  std::string endpoint = {};  ///< "https://host:port"; KILTER_S3_ENDPOINT, AWS_ENDPOINT_URL_S3, …
  std::string region = {};    ///< AWS_REGION, AWS_DEFAULT_REGION; else us-east-1
  std::string profile = {};   ///< AWS_PROFILE; else "default"
  bool anonymous = false;     ///< no signature even if there are credentials
  std::optional<bool> bucket_in_host =
      {};                 ///< bucket.host/key; by default only at Amazon's endpoints
  unsigned parallel = 8;  ///< requests at once for one large object
  /// Of one request of a large object, 5 MiB to 5 GiB. Uploads hold `parallel` parts in memory;
  /// objects above 10,000 parts get larger ones and fewer at once.
  std::uint64_t part_bytes = 8U << 20U;
  unsigned retries = 7;           ///< after the first attempt, with pauses that double up to 20 s
  unsigned connect_seconds = 10;  ///< until a connection must stand
  unsigned stall_seconds = 30;    ///< below 1 KiB/s for this long an attempt has failed
  const CancelToken* cancel = nullptr;  ///< asked about once a second; must outlive the store
};

/// Opens s3://bucket/prefix. Makes no request: that the bucket exists shows in the first call.
/// libcurl is loaded here, not at the start of the program.
///
/// Errors: kInvalidArgument for a bad address, endpoint or profile; kUnsupported without libcurl,
/// and for profiles that name another source of credentials than keys; kPermission for half a key
/// pair.
Result<std::unique_ptr<ObjectStore>> open_s3(std::string_view address,
                                             const S3Options& options = {});

}  // namespace kilter::io
