#include "io/s3/sigv4.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "io/s3/uri.h"

namespace kilter::io::s3 {
namespace {

constexpr std::size_t kHmacBlockBytes = 64;

/// Without spaces around, and with single ones between words.
std::string folded_value(std::string_view value) {
  std::string out;
  for (const char c : value) {
    if (c == ' ' && (out.empty() || out.back() == ' ')) continue;
    out += c;
  }
  while (out.ends_with(' ')) out.pop_back();
  return out;
}

std::vector<NameValue> sorted_headers(const SigningInput& input) {
  std::vector<NameValue> headers = input.headers;
  std::sort(headers.begin(), headers.end());
  return headers;
}

std::string signed_names(const std::vector<NameValue>& headers) {
  std::string names;
  for (const auto& [name, value] : headers) names += (names.empty() ? "" : ";") + name;
  return names;
}

}  // namespace

std::string canonical_query(const std::vector<NameValue>& query) {
  std::vector<NameValue> encoded;
  encoded.reserve(query.size());
  for (const auto& [name, value] : query) encoded.emplace_back(uri_encode(name), uri_encode(value));
  std::sort(encoded.begin(), encoded.end());
  std::string out;
  for (const auto& [name, value] : encoded)
    out += fmt::format("{}{}={}", out.empty() ? "" : "&", name, value);
  return out;
}

std::string canonical_request(const SigningInput& input) {
  const auto headers = sorted_headers(input);
  std::string lines;
  for (const auto& [name, value] : headers)
    lines += fmt::format("{}:{}\n", name, folded_value(value));
  return fmt::format("{}\n{}\n{}\n{}\n{}\n{}", input.method, input.encoded_path,
                     canonical_query(input.query), lines, signed_names(headers),
                     input.payload_sha256);
}

Digest256 hmac_sha256(Bytes key, std::string_view text) {
  std::array<std::byte, kHmacBlockBytes> block{};
  if (key.size() > block.size()) {
    const Digest256 shorter = sha256(key);
    std::copy(shorter.begin(), shorter.end(), block.begin());
  } else {
    std::copy(key.begin(), key.end(), block.begin());
  }
  for (std::byte& b : block) b ^= std::byte{0x36};
  Sha256 inner;
  inner.update(block);
  inner.update(as_bytes(text));
  const Digest256 inner_digest = inner.finish();
  for (std::byte& b : block) b ^= std::byte{0x36 ^ 0x5c};
  Sha256 outer;
  outer.update(block);
  outer.update(inner_digest);
  return outer.finish();
}

std::string authorization(const SigningInput& input, const Credentials& credentials,
                          std::string_view region, std::string_view amz_date) {
  const std::string_view day = amz_date.substr(0, 8);
  const std::string scope = fmt::format("{}/{}/s3/aws4_request", day, region);
  const std::string to_sign = fmt::format("AWS4-HMAC-SHA256\n{}\n{}\n{}", amz_date, scope,
                                          to_hex(sha256(as_bytes(canonical_request(input)))));
  Digest256 key = hmac_sha256(as_bytes("AWS4" + credentials.secret), day);
  for (const std::string_view step :
       {region, std::string_view("s3"), std::string_view("aws4_request")})
    key = hmac_sha256(key, step);
  return fmt::format("AWS4-HMAC-SHA256 Credential={}/{},SignedHeaders={},Signature={}",
                     credentials.key_id, scope, signed_names(sorted_headers(input)),
                     to_hex(hmac_sha256(key, to_sign)));
}

}  // namespace kilter::io::s3
