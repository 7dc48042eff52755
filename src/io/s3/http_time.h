// The forms of time in HTTP and S3, all UTC.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace kilter::io::s3 {

/// "20130524T000000Z", as x-amz-date has it.
std::string to_amz_date(std::int64_t unix_seconds);

/// "Fri, 24 May 2013 00:00:00 GMT" (RFC 9110, the form every server must send).
std::optional<std::int64_t> parse_http_date(std::string_view text);

/// "2013-05-24T00:00:00.000Z", with or without the fraction.
std::optional<std::int64_t> parse_iso_date(std::string_view text);

}  // namespace kilter::io::s3
