// AWS Signature Version 4 in the Authorization header, as S3 checks it.
// Source: AWS, "Authenticating Requests: Using the Authorization Header (AWS Signature Version 4)".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/byte_reader.h"
#include "base/hash.h"

namespace kilter::io::s3 {

using NameValue = std::pair<std::string, std::string>;

struct Credentials {
  std::string key_id;
  std::string secret;
  std::string session_token;  ///< empty: long-lived credentials
  bool anonymous() const { return key_id.empty(); }
};

/// What is signed. Header names are lower-case and include host, x-amz-date and
/// x-amz-content-sha256; every header given is signed.
struct SigningInput {
  std::string method;
  std::string encoded_path;      ///< each byte encoded once, slashes kept
  std::vector<NameValue> query;  ///< not encoded
  std::vector<NameValue> headers;
  std::string payload_sha256;  ///< hexadecimal
};

/// "a=1&b=2": encoded and sorted, as both the signature and the address have it.
std::string canonical_query(const std::vector<NameValue>& query);
/// The canonical request, for tests and for comparing with a server's complaint.
std::string canonical_request(const SigningInput& input);
/// HMAC-SHA-256 (RFC 2104).
Digest256 hmac_sha256(Bytes key, std::string_view text);
/// The value of the Authorization header. `amz_date` is that of x-amz-date.
std::string authorization(const SigningInput& input, const Credentials& credentials,
                          std::string_view region, std::string_view amz_date);

}  // namespace kilter::io::s3
