// One exchange over HTTP. Nothing here knows S3; tests put a script in the client's place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kilter/error.h"
#include "kilter/progress.h"

#include "base/byte_reader.h"

namespace kilter::io::s3 {

struct HttpRequest {
  std::string method;  ///< GET, HEAD, PUT, POST, DELETE
  std::string url;
  std::vector<std::pair<std::string, std::string>> headers = {};
  Bytes body = {};
  /// Where the body of a 2xx answer goes; without it into HttpReply::text.
  std::optional<std::span<std::byte>> out = {};
  std::uint64_t text_bytes_max = 1U << 20U;
  unsigned stall_seconds = 30;
  const CancelToken* cancel = nullptr;
};

struct HttpReply {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers = {};  ///< names lower-case
  std::string text = {};
  std::uint64_t out_bytes = 0;
  /// The first value of that name, or "".
  std::string_view header(std::string_view name) const;
};

enum class HttpFaultKind : std::uint8_t {
  kUnresolved,  ///< the host's name leads nowhere
  kNotSent,     ///< no connection: the server has seen nothing
  kTransfer,    ///< broken on the way: the server may have done it
  kTooLong,     ///< the answer is longer than asked for
  kPermanent,   ///< trying again cannot help, such as a certificate that does not fit
  kCancelled,
};
struct HttpFault {
  HttpFaultKind kind;
  std::string text;
};

struct HttpOutcome {
  HttpReply reply = {};
  std::optional<HttpFault> fault = {};
};

/// All calls may come from several threads.
class HttpClient {
 public:
  virtual ~HttpClient() = default;
  virtual HttpOutcome perform(const HttpRequest& request) = 0;
};

struct HttpClientOptions {
  unsigned connect_seconds = 10;
  unsigned idle_connections_max = 8;
  std::string ca_file = {};
};
/// Over libcurl. Connections stay open between calls. Errors: kUnsupported without libcurl.
Result<std::unique_ptr<HttpClient>> make_curl_client(const HttpClientOptions& options);

}  // namespace kilter::io::s3
