#include "io/s3/http.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <mutex>

#include "base/text.h"
#include "base/try.h"
#include "io/s3/curl_library.h"
#include "io/s3/sigpipe.h"

namespace kilter::io::s3 {
namespace {

constexpr std::size_t kHeaderBytesMax = 64U << 10U;
constexpr std::size_t kErrorBytesMax = 64U << 10U;
constexpr long kStallBytesPerSecond = 1024;
constexpr long kSocketBufferBytes = 512L << 10U;

/// What the callbacks of one exchange share.
struct Exchange {
  const HttpRequest& request;
  HttpReply reply;
  std::size_t header_bytes = 0;
  std::size_t sent_bytes = 0;
  bool too_long = false;
};

/// "HTTP/1.1 200 OK": headers begin anew, because an interim answer (100) may have come before.
bool take_status_line(std::string_view line, HttpReply* reply) {
  if (!line.starts_with("HTTP/")) return false;
  const auto space = line.find(' ');
  const std::string_view digits =
      space == line.npos ? std::string_view() : line.substr(space + 1, 3);
  *reply = HttpReply();
  for (const char c : digits) reply->status = reply->status * 10 + (c - '0');
  return true;
}

std::size_t on_header(char* data, std::size_t size, std::size_t count, void* user) {
  auto* exchange = static_cast<Exchange*>(user);
  const std::size_t bytes = size * count;
  exchange->header_bytes += bytes;
  if (exchange->header_bytes > kHeaderBytesMax) return 0;
  std::string_view line(data, bytes);
  while (line.ends_with('\n') || line.ends_with('\r')) line.remove_suffix(1);
  if (take_status_line(line, &exchange->reply)) return bytes;
  const auto colon = line.find(':');
  if (colon == line.npos) return bytes;
  std::string_view value = line.substr(colon + 1);
  value.remove_prefix(std::min(value.find_first_not_of(" \t"), value.size()));
  value = value.substr(0, value.find_last_not_of(" \t") + 1);
  exchange->reply.headers.emplace_back(ascii_lower(line.substr(0, colon)), value);
  return bytes;
}

std::size_t on_body(char* data, std::size_t size, std::size_t count, void* user) {
  auto* exchange = static_cast<Exchange*>(user);
  HttpReply& reply = exchange->reply;
  const std::size_t bytes = size * count;
  const bool success = reply.status / 100 == 2;
  if (success && exchange->request.out) {
    const std::span<std::byte> out = *exchange->request.out;
    exchange->too_long = bytes > out.size() - reply.out_bytes;
    if (exchange->too_long) return 0;
    std::memcpy(out.data() + reply.out_bytes, data, bytes);
    reply.out_bytes += bytes;
    return bytes;
  }
  if (!success) {  // what a server says about an error: the beginning is enough
    reply.text.append(data, std::min(bytes, kErrorBytesMax - reply.text.size()));
    return bytes;
  }
  exchange->too_long = bytes > exchange->request.text_bytes_max - reply.text.size();
  if (exchange->too_long) return 0;
  reply.text.append(data, bytes);
  return bytes;
}

std::size_t on_send(char* data, std::size_t size, std::size_t count, void* user) {
  auto* exchange = static_cast<Exchange*>(user);
  const Bytes rest = exchange->request.body.subspan(exchange->sent_bytes);
  const std::size_t bytes = std::min(size * count, rest.size());
  if (bytes != 0) std::memcpy(data, rest.data(), bytes);
  exchange->sent_bytes += bytes;
  return bytes;
}

int on_rewind(void* user, curl_off_t offset, int origin) {
  auto* exchange = static_cast<Exchange*>(user);
  if (origin != SEEK_SET || offset < 0 ||
      static_cast<std::uint64_t>(offset) > exchange->request.body.size())
    return CURL_SEEKFUNC_CANTSEEK;
  exchange->sent_bytes = static_cast<std::size_t>(offset);
  return CURL_SEEKFUNC_OK;
}

int on_progress(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  const auto* exchange = static_cast<const Exchange*>(user);
  const CancelToken* cancel = exchange->request.cancel;
  return cancel != nullptr && cancel->cancelled() ? 1 : 0;
}

HttpFaultKind fault_kind(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
      return HttpFaultKind::kUnresolved;
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
      return HttpFaultKind::kNotSent;
    case CURLE_ABORTED_BY_CALLBACK:
      return HttpFaultKind::kCancelled;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
    case CURLE_OUT_OF_MEMORY:
    case CURLE_BAD_FUNCTION_ARGUMENT:
      return HttpFaultKind::kPermanent;
    default:
      return HttpFaultKind::kTransfer;
  }
}

/// An easy handle with its connections and the headers of its last request.
class CurlHandle {
 public:
  explicit CurlHandle(const CurlLibrary& curl) : curl_(curl), easy_(curl.easy_init()) {}
  CurlHandle(const CurlHandle&) = delete;
  CurlHandle& operator=(const CurlHandle&) = delete;
  ~CurlHandle() {
    curl_.slist_free_all(headers_);
    if (easy_ != nullptr) curl_.easy_cleanup(easy_);
  }

  HttpOutcome perform(const HttpRequest& request, const HttpClientOptions& options) {
    Exchange exchange{.request = request, .reply = {}};
    if (easy_ == nullptr || !prepare(exchange, options))
      return {.reply = {}, .fault = HttpFault{HttpFaultKind::kPermanent, "libcurl refused"}};
    const SigpipeBlocked blocked;
    const CURLcode code = curl_.easy_perform(easy_);
    HttpOutcome outcome{.reply = std::move(exchange.reply), .fault = std::nullopt};
    if (code == CURLE_OK) return outcome;
    if (exchange.too_long) {
      outcome.fault = {HttpFaultKind::kTooLong, "the answer is longer than asked for"};
      return outcome;
    }
    // A server may refuse and hang up before it has read the whole body: its answer counts.
    if (outcome.reply.status >= 400 && code != CURLE_ABORTED_BY_CALLBACK) return outcome;
    outcome.fault = {fault_kind(code), curl_.easy_strerror(code)};
    return outcome;
  }

 private:
  template <typename Value>
  void set(CURLoption option, Value value) {
    if (curl_.easy_setopt(easy_, option, value) != CURLE_OK) refused_ = true;
  }

  bool prepare(Exchange& exchange, const HttpClientOptions& options) {
    curl_.easy_reset(easy_);  // connections stay
    refused_ = false;
    set(CURLOPT_URL, exchange.request.url.c_str());
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    set(CURLOPT_PATH_AS_IS, 1L);      // what was signed is what is sent
    set(CURLOPT_FOLLOWLOCATION, 0L);  // a signature holds for one host
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_TCP_KEEPALIVE, 1L);
    set(CURLOPT_BUFFERSIZE, kSocketBufferBytes);
    set(CURLOPT_UPLOAD_BUFFERSIZE, kSocketBufferBytes);
    if (!options.ca_file.empty()) set(CURLOPT_CAINFO, options.ca_file.c_str());
    set_times(exchange, options);
    set_callbacks(exchange);
    set_headers(exchange.request);
    set_method(exchange.request);
    return !refused_;
  }

  void set_times(Exchange& exchange, const HttpClientOptions& options) {
    set(CURLOPT_CONNECTTIMEOUT, static_cast<long>(options.connect_seconds));
    set(CURLOPT_LOW_SPEED_LIMIT, kStallBytesPerSecond);
    set(CURLOPT_LOW_SPEED_TIME, static_cast<long>(exchange.request.stall_seconds));
  }

  void set_callbacks(Exchange& exchange) {
    set(CURLOPT_HEADERFUNCTION, &on_header);
    set(CURLOPT_HEADERDATA, static_cast<void*>(&exchange));
    set(CURLOPT_WRITEFUNCTION, &on_body);
    set(CURLOPT_WRITEDATA, static_cast<void*>(&exchange));
    set(CURLOPT_XFERINFOFUNCTION, &on_progress);
    set(CURLOPT_XFERINFODATA, static_cast<void*>(&exchange));
    set(CURLOPT_NOPROGRESS, 0L);
    set(CURLOPT_READFUNCTION, &on_send);
    set(CURLOPT_READDATA, static_cast<void*>(&exchange));
    set(CURLOPT_SEEKFUNCTION, &on_rewind);
    set(CURLOPT_SEEKDATA, static_cast<void*>(&exchange));
  }

  void set_headers(const HttpRequest& request) {
    curl_.slist_free_all(headers_);
    headers_ = curl_.slist_append(nullptr, "Expect:");  // no round trip before each body
    for (const auto& [name, value] : request.headers) {
      const std::string line = std::string(name).append(": ").append(value);
      curl_slist* longer = curl_.slist_append(headers_, line.c_str());
      if (longer == nullptr) refused_ = true;
      if (longer != nullptr) headers_ = longer;
    }
    set(CURLOPT_HTTPHEADER, headers_);
  }

  void set_method(const HttpRequest& request) {
    if (request.method == "HEAD") {
      set(CURLOPT_NOBODY, 1L);
    } else if (request.method == "PUT" || request.method == "POST") {
      set(CURLOPT_UPLOAD, 1L);
      set(CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
      set(CURLOPT_CUSTOMREQUEST, request.method.c_str());
    } else if (request.method != "GET") {
      set(CURLOPT_CUSTOMREQUEST, request.method.c_str());
    }
  }

  const CurlLibrary& curl_;
  CURL* easy_;
  curl_slist* headers_ = nullptr;
  bool refused_ = false;
};

class CurlClient : public HttpClient {
 public:
  CurlClient(const CurlLibrary& curl, HttpClientOptions options)
      : curl_(curl), options_(std::move(options)) {}

  HttpOutcome perform(const HttpRequest& request) override {
    std::unique_ptr<CurlHandle> handle = take();
    HttpOutcome outcome = handle->perform(request, options_);
    give_back(std::move(handle));
    return outcome;
  }

 private:
  std::unique_ptr<CurlHandle> take() {
    const std::lock_guard lock(mutex_);
    if (idle_.empty()) return std::make_unique<CurlHandle>(curl_);
    auto handle = std::move(idle_.back());  // the last one used: its connection is the freshest
    idle_.pop_back();
    return handle;
  }
  void give_back(std::unique_ptr<CurlHandle> handle) {
    const std::lock_guard lock(mutex_);
    if (idle_.size() < options_.idle_connections_max) idle_.push_back(std::move(handle));
  }

  const CurlLibrary& curl_;
  HttpClientOptions options_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<CurlHandle>> idle_;
};

}  // namespace

std::string_view HttpReply::header(std::string_view name) const {
  for (const auto& [known, value] : headers)
    if (known == name) return value;
  return {};
}

Result<std::unique_ptr<HttpClient>> make_curl_client(const HttpClientOptions& options) {
  KILTER_ASSIGN(const CurlLibrary* curl, load_curl());
  return std::make_unique<CurlClient>(*curl, options);
}

}  // namespace kilter::io::s3
