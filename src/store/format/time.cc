#include <fmt/format.h>

#include <chrono>
#include <limits>

#include "store/format/objects.h"

namespace kilter::store {
namespace {

constexpr std::int64_t kNsPerSecond = 1'000'000'000;
// Nanoseconds in 64 bits begin in 1677 and end in 2262.
constexpr int kYearMin = 1678;
constexpr int kYearMax = 2261;
constexpr std::int64_t kSecondsEnd =
    std::chrono::sys_days(std::chrono::year(kYearMax + 1) / 1 / 1).time_since_epoch().count() *
    24LL * 3600;

/// Takes `count` digits off the front.
bool take_digits(std::string_view& text, std::size_t count, std::int64_t& value) {
  if (text.size() < count) return false;
  value = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (text[i] < '0' || text[i] > '9') return false;
    value = value * 10 + (text[i] - '0');
  }
  text.remove_prefix(count);
  return true;
}

bool take(std::string_view& text, char c) {
  if (!text.starts_with(c)) return false;
  text.remove_prefix(1);
  return true;
}

bool take_fraction(std::string_view& text, std::int64_t& ns) {
  ns = 0;
  if (!take(text, '.')) return true;
  std::int64_t unit = kNsPerSecond;
  std::int64_t digit = 0;
  while (unit > 1 && take_digits(text, 1, digit)) {
    unit /= 10;
    ns += digit * unit;
  }
  return unit < kNsPerSecond;
}

}  // namespace

std::string time_text(std::int64_t unix_ns) {
  std::int64_t seconds = unix_ns / kNsPerSecond;
  std::int64_t ns = unix_ns % kNsPerSecond;
  if (ns < 0) {
    ns += kNsPerSecond;
    --seconds;
  }
  const std::chrono::sys_seconds time{std::chrono::seconds(seconds)};
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:09}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count(), ns);
}

std::optional<std::int64_t> parse_time(std::string_view text) {
  std::int64_t year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0, ns = 0;
  if (!take_digits(text, 4, year) || !take(text, '-') || !take_digits(text, 2, month) ||
      !take(text, '-') || !take_digits(text, 2, day))
    return std::nullopt;
  if (take(text, 'T') || take(text, ' ')) {
    if (!take_digits(text, 2, hour) || !take(text, ':') || !take_digits(text, 2, minute))
      return std::nullopt;
    if (take(text, ':') && (!take_digits(text, 2, second) || !take_fraction(text, ns)))
      return std::nullopt;
    take(text, 'Z');
  }
  const std::chrono::year_month_day date{std::chrono::year(static_cast<int>(year)),
                                         std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!text.empty() || !date.ok() || hour > 23 || minute > 59 || second > 60 || year < kYearMin ||
      year > kYearMax)
    return std::nullopt;
  const auto days = std::chrono::sys_days(date).time_since_epoch().count();
  const std::int64_t seconds = (days * 24 + hour) * 3600 + minute * 60 + second;
  if (seconds >= kSecondsEnd) return std::nullopt;  // a leap second leads into the year after
  return seconds * kNsPerSecond + ns;
}

}  // namespace kilter::store
