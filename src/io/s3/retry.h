// Which answers are worth another attempt, and when.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

namespace kilter::io::s3 {

enum class Verdict : std::uint8_t {
  kFinal,      ///< the same request would be answered the same
  kTransient,  ///< the server was busy or broken; try again later
  kDamaged,    ///< the server says that the bytes changed on their way to it
  kSkewed,     ///< our clock is wrong: take the server's
};

/// Of an answer that is no success. `code` is S3's, empty where the answer had none.
/// Sources: Amazon S3 API reference, "Error responses"; user guide, "Conditional writes".
Verdict judge_answer(int status, std::string_view code);

/// Exponential backoff with full jitter: between nothing and 100 ms doubled for each attempt, at
/// most 20 s. `random` lies in [0, 1). What the server asks for comes on top, at most 60 s.
std::chrono::milliseconds retry_pause(unsigned attempt, double random,
                                      std::chrono::seconds retry_after);

/// The value of Retry-After: seconds, or a date seen from `now_unix_seconds`. Bounded; 0 if there
/// is none.
std::chrono::seconds parse_retry_after(std::string_view value, std::int64_t now_unix_seconds);

}  // namespace kilter::io::s3
