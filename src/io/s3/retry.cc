#include "io/s3/retry.h"

#include <algorithm>
#include <array>

#include "io/s3/http_time.h"
#include "io/s3/replies.h"

namespace kilter::io::s3 {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kPauseFirst{100};
constexpr milliseconds kPauseMax{20'000};
constexpr unsigned kDoublingsMax = 10;
constexpr seconds kRetryAfterMax{60};

// Gateways to file systems say ExistingObjectIsDirectory (409) where a put meets the removal of the
// last neighbour's folder.
constexpr std::array<std::string_view, 9> kTransientCodes = {
    "ExistingObjectIsDirectory",  "SlowDown",      "RequestTimeout",
    "ConditionalRequestConflict", "InternalError", "OperationAborted",
    "ServiceUnavailable",         "Throttling",    "RequestThrottled"};
/// The signature or a checksum covers the body, so the server saw that it changed.
constexpr std::array<std::string_view, 2> kDamagedCodes = {"BadDigest",
                                                           "XAmzContentSHA256Mismatch"};

template <std::size_t kCount>
bool holds(const std::array<std::string_view, kCount>& codes, std::string_view code) {
  return std::find(codes.begin(), codes.end(), code) != codes.end();
}

}  // namespace

Verdict judge_answer(int status, std::string_view code) {
  if (code == "RequestTimeTooSkewed") return Verdict::kSkewed;
  if (holds(kDamagedCodes, code)) return Verdict::kDamaged;
  if (holds(kTransientCodes, code)) return Verdict::kTransient;
  const bool busy =
      status == 429 || status == 500 || status == 502 || status == 503 || status == 504;
  return busy ? Verdict::kTransient : Verdict::kFinal;
}

milliseconds retry_pause(unsigned attempt, double random, seconds retry_after) {
  const milliseconds bound =
      std::min(kPauseFirst * (1U << std::min(attempt, kDoublingsMax)), kPauseMax);
  const auto jitter = static_cast<milliseconds::rep>(static_cast<double>(bound.count()) * random);
  return milliseconds(jitter) + std::clamp(retry_after, seconds(0), kRetryAfterMax);
}

seconds parse_retry_after(std::string_view value, std::int64_t now_unix_seconds) {
  if (value.empty()) return seconds(0);
  if (const auto count = parse_count(value))
    return seconds(static_cast<std::int64_t>(
        std::min(*count, static_cast<std::uint64_t>(kRetryAfterMax.count()))));
  const auto date = parse_http_date(value);
  if (!date) return seconds(0);
  return std::clamp(seconds(*date - now_unix_seconds), seconds(0), kRetryAfterMax);
}

}  // namespace kilter::io::s3
