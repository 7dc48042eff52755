// One S3 request: signed, sent, judged, and tried again where that can help.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <string>

#include "io/s3/http.h"
#include "io/s3/settings.h"

namespace kilter::io::s3 {

struct Call {
  std::string method = {};
  std::string key = {};  ///< whole key; empty: the bucket itself
  std::vector<NameValue> query = {};
  std::vector<NameValue> headers = {};  ///< names lower-case; those every request has are added
  Bytes body = {};
  std::optional<Digest256> body_sha256 = {};  ///< of `body`, where the caller has it
  std::optional<std::span<std::byte>> out = {};
  std::uint64_t text_bytes_max = 16U << 20U;
  unsigned stall_seconds_min = 0;  ///< for work that a server may take long over
  bool cancellable = true;         ///< false: cleaning up after a cancelled call
  /// CompleteMultipartUpload may answer 200 and then an error, and after a conflict it wants the
  /// whole upload again.
  bool completes_upload = false;
  /// Judges a 2xx answer; kIo means that it came damaged and another attempt may help.
  std::function<Status(const HttpReply&)> check = {};
};

struct Answer {
  HttpReply reply;
  bool may_have_happened_before = false;  ///< an earlier attempt's fate is unknown
};

/// `error` is complete; `status` and `code` are for callers who know more about some.
struct Failure {
  Error error = {};
  int status = 0;                  ///< 0: no answer
  std::string code;                ///< S3's
  bool may_have_happened = false;  ///< some attempt may have been carried out
};

using CallResult = tl::expected<Answer, Failure>;

/// For callers to whom every failure is an error.
inline Result<Answer> to_result(CallResult result) {
  if (result) return std::move(*result);
  return fail(std::move(result).error().error);
}

/// Time and chance, so that tests need neither.
class RetryWorld {
 public:
  virtual ~RetryWorld() = default;
  virtual std::int64_t now_unix_seconds() = 0;
  virtual double random() = 0;  ///< in [0, 1)
  /// False if the call was cancelled meanwhile.
  virtual bool sleep(std::chrono::milliseconds pause, const CancelToken* cancel) = 0;
};
std::unique_ptr<RetryWorld> make_retry_world();

/// All calls may come from several threads.
class Client {
 public:
  Client(std::unique_ptr<HttpClient> http, std::unique_ptr<RetryWorld> world, Settings settings,
         BucketAddress address, const S3Options& options);

  CallResult call(const Call& call);
  const BucketAddress& address() const { return address_; }
  const Settings& settings() const { return settings_; }

 private:
  struct Attempt;
  HttpRequest signed_request(const Call& call, const std::string& payload_sha256);
  Attempt attempt(const Call& call, const std::string& payload_sha256);
  bool may_retry(const Attempt& last, unsigned attempt_index, bool* clock_set);
  const CancelToken* cancel_of(const Call& call) const;

  std::unique_ptr<HttpClient> http_;
  std::unique_ptr<RetryWorld> world_;
  Settings settings_;
  BucketAddress address_;
  S3Options options_;
  std::atomic<std::int64_t> clock_offset_seconds_{0};
};

}  // namespace kilter::io::s3
