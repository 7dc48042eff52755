#include "io/s3/http_time.h"

#include <fmt/format.h>

#include <charconv>
#include <chrono>

namespace kilter::io::s3 {
namespace {

constexpr std::string_view kMonths = "JanFebMarAprMayJunJulAugSepOctNovDec";

struct DateFields {
  int year = 0, month = 0, day = 0;
  std::int64_t hour = 0, minute = 0, second = 0;
};

/// All of `text` is a number of digits.
template <typename Number>
bool take_number(std::string_view text, Number* value) {
  if (text.empty() || text.find_first_not_of("0123456789") != text.npos) return false;
  return std::from_chars(text.data(), text.data() + text.size(), *value).ec == std::errc();
}

bool take_clock(std::string_view text, DateFields* date) {  // "00:00:00"
  return text.size() == 8 && text[2] == ':' && text[5] == ':' &&
         take_number(text.substr(0, 2), &date->hour) &&
         take_number(text.substr(3, 2), &date->minute) &&
         take_number(text.substr(6, 2), &date->second);
}

std::optional<std::int64_t> to_unix(const DateFields& date) {
  const std::chrono::year_month_day day{std::chrono::year(date.year),
                                        std::chrono::month(static_cast<unsigned>(date.month)),
                                        std::chrono::day(static_cast<unsigned>(date.day))};
  if (!day.ok() || date.hour > 23 || date.minute > 59 || date.second > 60) return std::nullopt;
  const std::int64_t days = std::chrono::sys_days(day).time_since_epoch().count();
  return days * 86400 + date.hour * 3600 + date.minute * 60 + date.second;
}

}  // namespace

std::string to_amz_date(std::int64_t unix_seconds) {
  const std::chrono::sys_seconds time{std::chrono::seconds(unix_seconds)};
  const auto days = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day day(days);
  const std::int64_t seconds = (time - days).count();
  return fmt::format("{:04}{:02}{:02}T{:02}{:02}{:02}Z", static_cast<int>(day.year()),
                     static_cast<unsigned>(day.month()), static_cast<unsigned>(day.day()),
                     seconds / 3600, seconds / 60 % 60, seconds % 60);
}

std::optional<std::int64_t> parse_http_date(std::string_view text) {
  if (text.size() != 29 || text.substr(25) != " GMT" || text[16] != ' ') return std::nullopt;
  DateFields date;
  const auto month = kMonths.find(text.substr(8, 3));
  if (month == kMonths.npos || month % 3 != 0) return std::nullopt;
  date.month = static_cast<int>(month / 3) + 1;
  if (!take_number(text.substr(5, 2), &date.day) || !take_number(text.substr(12, 4), &date.year) ||
      !take_clock(text.substr(17, 8), &date))
    return std::nullopt;
  return to_unix(date);
}

std::optional<std::int64_t> parse_iso_date(std::string_view text) {
  if (text.size() < 20 || !text.ends_with('Z') || text[4] != '-' || text[7] != '-' ||
      text[10] != 'T')
    return std::nullopt;
  const std::string_view fraction = text.substr(19, text.size() - 20);
  DateFields date;
  if (!fraction.empty() && fraction[0] != '.') return std::nullopt;
  if (!take_number(text.substr(0, 4), &date.year) || !take_number(text.substr(5, 2), &date.month) ||
      !take_number(text.substr(8, 2), &date.day) || !take_clock(text.substr(11, 8), &date))
    return std::nullopt;
  return to_unix(date);
}

}  // namespace kilter::io::s3
