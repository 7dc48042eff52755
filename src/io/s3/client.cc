#include "io/s3/client.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <thread>

#include "io/s3/failure.h"
#include "io/s3/http_time.h"
#include "io/s3/replies.h"
#include "io/s3/retry.h"

namespace kilter::io::s3 {
namespace {

constexpr unsigned kResolveRetriesMax = 2;  // a name that does not exist will not begin to

class RealRetryWorld : public RetryWorld {
 public:
  std::int64_t now_unix_seconds() override { return std::time(nullptr); }
  double random() override {
    const std::lock_guard lock(mutex_);
    return std::uniform_real_distribution<double>(0, 1)(engine_);
  }
  bool sleep(std::chrono::milliseconds pause, const CancelToken* cancel) override {
    const auto end = std::chrono::steady_clock::now() + pause;
    for (auto now = std::chrono::steady_clock::now(); now < end;
         now = std::chrono::steady_clock::now()) {
      if (cancel != nullptr && cancel->cancelled()) return false;
      std::this_thread::sleep_for(
          std::min<std::chrono::steady_clock::duration>(end - now, std::chrono::milliseconds(50)));
    }
    return cancel == nullptr || !cancel->cancelled();
  }

 private:
  std::mutex mutex_;
  std::mt19937_64 engine_{std::random_device()()};
};

}  // namespace

std::unique_ptr<RetryWorld> make_retry_world() { return std::make_unique<RealRetryWorld>(); }

/// What one attempt came to.
struct Client::Attempt {
  HttpReply reply;
  std::optional<Failure> failure;
  Verdict verdict = Verdict::kFinal;
  bool unresolved = false;
};

Client::Client(std::unique_ptr<HttpClient> http, std::unique_ptr<RetryWorld> world,
               Settings settings, BucketAddress address, const S3Options& options)
    : http_(std::move(http)),
      world_(std::move(world)),
      settings_(std::move(settings)),
      address_(std::move(address)),
      options_(options) {}

const CancelToken* Client::cancel_of(const Call& call) const {
  return call.cancellable ? options_.cancel : nullptr;
}

HttpRequest Client::signed_request(const Call& call, const std::string& payload_sha256) {
  const std::string date = to_amz_date(world_->now_unix_seconds() + clock_offset_seconds_.load());
  SigningInput input{.method = call.method,
                     .encoded_path = settings_.endpoint.encoded_path_of(address_.bucket, call.key),
                     .query = call.query,
                     .headers = call.headers,
                     .payload_sha256 = payload_sha256};
  input.headers.emplace_back("host", settings_.endpoint.host_of(address_.bucket));
  input.headers.emplace_back("x-amz-content-sha256", payload_sha256);
  input.headers.emplace_back("x-amz-date", date);
  const Credentials& credentials = settings_.credentials;
  if (!credentials.session_token.empty())
    input.headers.emplace_back("x-amz-security-token", credentials.session_token);

  HttpRequest request{.method = call.method,
                      .url = settings_.endpoint.origin_of(address_.bucket) + input.encoded_path,
                      .headers = input.headers,
                      .body = call.body,
                      .out = call.out,
                      .text_bytes_max = call.text_bytes_max,
                      .stall_seconds = std::max(options_.stall_seconds, call.stall_seconds_min),
                      .cancel = cancel_of(call)};
  if (!call.query.empty()) request.url.append("?").append(canonical_query(call.query));
  if (!credentials.anonymous())
    request.headers.emplace_back("authorization",
                                 authorization(input, credentials, settings_.region, date));
  return request;
}

Client::Attempt Client::attempt(const Call& call, const std::string& payload_sha256) {
  const std::string where = call.key.empty() ? "s3://" + address_.bucket
                                             : fmt::format("s3://{}/{}", address_.bucket, call.key);
  HttpOutcome outcome = http_->perform(signed_request(call, payload_sha256));
  Attempt out;
  out.reply = std::move(outcome.reply);
  if (outcome.fault) {
    const HttpFaultKind kind = outcome.fault->kind;
    out.failure = fault_failure(call, *outcome.fault, settings_, address_.bucket, where);
    out.unresolved = kind == HttpFaultKind::kUnresolved;
    if (out.unresolved || kind == HttpFaultKind::kNotSent || kind == HttpFaultKind::kTransfer)
      out.verdict = Verdict::kTransient;
    return out;
  }
  const bool hidden_error =
      call.completes_upload && !parse_error_reply(out.reply.text).code.empty();
  if (out.reply.status / 100 != 2 || hidden_error) {
    out.failure = answer_failure(call, out.reply, settings_, where);
    out.verdict = judge_answer(out.reply.status, out.failure->code);
    if (call.completes_upload && out.failure->code == "ConditionalRequestConflict")
      out.verdict = Verdict::kFinal;
    return out;
  }
  Status checked = call.check ? call.check(out.reply) : ok();
  if (!checked) {
    if (checked.error().code == ErrorCode::kIo) out.verdict = Verdict::kTransient;
    out.failure = check_failure(call, out.reply, std::move(checked).error(), where);
  }
  return out;
}

bool Client::may_retry(const Attempt& last, unsigned attempt_index, bool* clock_set) {
  if (last.verdict == Verdict::kSkewed) {
    const auto server = parse_http_date(last.reply.header("date"));
    if (*clock_set || !server) return false;
    *clock_set = true;
    clock_offset_seconds_ = *server - world_->now_unix_seconds();
    return true;
  }
  const unsigned retries_max =
      last.unresolved ? std::min(options_.retries, kResolveRetriesMax) : options_.retries;
  return last.verdict != Verdict::kFinal && attempt_index < retries_max;
}

CallResult Client::call(const Call& call) {
  const std::string payload_sha256 =
      to_hex(call.body_sha256 ? *call.body_sha256 : sha256(call.body));
  const CancelToken* cancel = cancel_of(call);
  bool clock_set = false;
  bool may_have_happened = false;
  for (unsigned index = 0;; ++index) {
    const bool cancelled = cancel != nullptr && cancel->cancelled();
    Attempt last;
    if (cancelled) {
      last.failure =
          Failure{.error = Error(ErrorCode::kCancelled, "cancelled"), .status = 0, .code = {}};
    } else {
      last = attempt(call, payload_sha256);
    }
    if (!last.failure)
      return Answer{.reply = std::move(last.reply), .may_have_happened_before = may_have_happened};
    may_have_happened = may_have_happened || last.failure->may_have_happened;
    last.failure->may_have_happened = may_have_happened;
    if (cancelled || !may_retry(last, index, &clock_set)) {
      if (index > 0) last.failure->error.message += fmt::format(" (attempt {})", index + 1);
      return tl::unexpected(std::move(*last.failure));
    }
    const auto asked =
        parse_retry_after(last.reply.header("retry-after"), world_->now_unix_seconds());
    world_->sleep(retry_pause(index, world_->random(), asked), cancel);
  }
}

}  // namespace kilter::io::s3
