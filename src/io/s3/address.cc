#include "io/s3/address.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "base/try.h"
#include "io/s3/uri.h"

namespace kilter::io::s3 {
namespace {

constexpr std::size_t kBucketCharsMax = 255;  // old buckets; new ones have at most 63
constexpr std::size_t kKeyBytesMax = 1024;

bool is_bucket_char(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '-' || c == '_';
}

bool is_bucket(std::string_view name) {
  return !name.empty() && name.size() <= kBucketCharsMax && name[0] != '.' && name[0] != '-' &&
         std::all_of(name.begin(), name.end(), is_bucket_char);
}

bool is_host_char(char c) { return is_bucket_char(c) || c == ':' || c == '[' || c == ']'; }

tl::unexpected<Error> bad_address(std::string_view address) {
  return fail(Error(ErrorCode::kInvalidArgument, "no address of a bucket")
                  .at_path(address)
                  .advise("write s3://bucket/prefix"));
}

}  // namespace

std::string BucketAddress::text() const {
  return prefix.empty() ? "s3://" + bucket : fmt::format("s3://{}/{}", bucket, prefix);
}

std::string BucketAddress::key(std::string_view name) const {
  return prefix.empty() ? std::string(name) : fmt::format("{}/{}", prefix, name);
}

Result<BucketAddress> parse_bucket_address(std::string_view address) {
  constexpr std::string_view kScheme = "s3://";
  if (!address.starts_with(kScheme)) return bad_address(address);
  const std::string_view rest = address.substr(kScheme.size());
  const auto slash = std::min(rest.find('/'), rest.size());
  BucketAddress out{.bucket = std::string(rest.substr(0, slash)), .prefix = {}};
  if (!is_bucket(out.bucket)) return bad_address(address);
  std::string_view prefix = rest.substr(slash);
  if (prefix.starts_with('/')) prefix.remove_prefix(1);
  if (prefix.ends_with('/')) prefix.remove_suffix(1);
  out.prefix = prefix;
  if (prefix.empty()) return out;
  auto checked = check_object_name(prefix);
  if (!checked) return fail(std::move(checked).error().at_path(address));
  return out;
}

Status check_object_name(std::string_view key) {
  const auto bad = [key](const char* why) {
    return fail(Error(ErrorCode::kInvalidArgument, "this cannot name an object")
                    .wanted(why, fmt::format("\"{}\"", key.substr(0, 200))));
  };
  if (key.empty() || key.size() > kKeyBytesMax) return bad("1 to 1024 bytes");
  if (!is_valid_utf8(key)) return bad("UTF-8");
  for (const char c : key)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) return bad("no control characters");
  for (std::size_t begin = 0; begin <= key.size();) {
    const auto end = std::min(key.find('/', begin), key.size());
    const std::string_view part = key.substr(begin, end - begin);
    if (part.empty() || part == "." || part == "..") return bad("no empty, . or .. parts");
    begin = end + 1;
  }
  return ok();
}

std::string Endpoint::host_of(const std::string& bucket) const {
  return bucket_in_host ? fmt::format("{}.{}", bucket, host) : host;
}

std::string Endpoint::encoded_path_of(const std::string& bucket, std::string_view key) const {
  const std::string base = bucket_in_host ? path : fmt::format("{}/{}", path, bucket);
  if (key.empty()) return base.empty() ? "/" : base;
  return fmt::format("{}/{}", base, uri_encode(key, Slashes::kKeep));
}

std::string Endpoint::origin_of(const std::string& bucket) const {
  return fmt::format("{}://{}", https ? "https" : "http", host_of(bucket));
}

Result<Endpoint> parse_endpoint(std::string_view url) {
  const auto bad = [](const char* why) {  // the text is not repeated: it may hold a password
    return fail(Error(ErrorCode::kInvalidArgument, fmt::format("the S3 endpoint {}", why))
                    .advise("write it as https://host:port"));
  };
  Endpoint out;
  const auto scheme = url.find("://");
  if (scheme != url.npos) {
    const std::string name = ascii_lower(url.substr(0, scheme));
    if (name != "http" && name != "https") return bad("is neither http nor https");
    out.https = name == "https";
    url.remove_prefix(scheme + 3);
  }
  const auto slash = std::min(url.find('/'), url.size());
  out.host = ascii_lower(url.substr(0, slash));
  if (out.host.find('@') != out.host.npos) return bad("holds a user name");
  if (out.host.empty() || !std::all_of(out.host.begin(), out.host.end(), is_host_char))
    return bad("has no host name");
  // The Host header, which is signed, leaves the scheme's own port out.
  const std::string own_port = out.https ? ":443" : ":80";
  if (out.host.ends_with(own_port)) out.host.resize(out.host.size() - own_port.size());
  out.path = url.substr(slash);
  if (out.path.find_first_of("?# \"<>\\") != out.path.npos) return bad("has more than a path");
  while (out.path.ends_with('/')) out.path.pop_back();
  return out;
}

Endpoint aws_endpoint(std::string_view region, std::string_view bucket) {
  Endpoint out;
  out.host = fmt::format("s3.{}.amazonaws.com{}", region, region.starts_with("cn-") ? ".cn" : "");
  // The certificate is for one label before s3: a bucket with a dot has to go into the path.
  out.bucket_in_host = bucket.find('.') == bucket.npos;
  return out;
}

}  // namespace kilter::io::s3
