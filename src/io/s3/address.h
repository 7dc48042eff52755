// Where things lie: s3://bucket/prefix, and the host and path that a bucket has on an endpoint.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "kilter/error.h"

namespace kilter::io::s3 {

struct BucketAddress {
  std::string bucket;
  std::string prefix;  ///< without slashes at its ends; may be empty
  std::string text() const;
  /// Whole key of an object of the store.
  std::string key(std::string_view name) const;
};

/// Errors: kInvalidArgument for what is no s3://bucket[/prefix].
Result<BucketAddress> parse_bucket_address(std::string_view address);

/// An object's name: 1 to 1024 bytes of UTF-8 with its prefix, no control characters, no empty
/// part, no part "." or "..": proxies and gateways to file systems rewrite those.
/// Errors: kInvalidArgument.
Status check_object_name(std::string_view key);

struct Endpoint {
  bool https = true;
  std::string host;  ///< with its port where that is not the scheme's own
  std::string path;  ///< "" or "/something", encoded as given
  bool bucket_in_host = false;

  std::string host_of(const std::string& bucket) const;
  std::string encoded_path_of(const std::string& bucket, std::string_view key) const;
  std::string origin_of(const std::string& bucket) const;  ///< "https://host"
};

/// "http://127.0.0.1:9000", "https://minio.example/s3"; without a scheme https.
/// Errors: kInvalidArgument, also for user names and passwords in it.
Result<Endpoint> parse_endpoint(std::string_view url);
/// Amazon's own for a region.
Endpoint aws_endpoint(std::string_view region, std::string_view bucket);

}  // namespace kilter::io::s3
