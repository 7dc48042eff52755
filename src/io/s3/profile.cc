#include "io/s3/profile.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"

namespace kilter::io::s3 {
namespace {

constexpr std::size_t kProfileBytesMax = 1U << 20U;
constexpr std::string_view kBlanks = " \t\r";

std::string_view trimmed(std::string_view text) {
  const auto begin = text.find_first_not_of(kBlanks);
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
}

/// What follows " #" or " ;" is a comment; a value itself may hold either without the blank.
std::string_view without_comment(std::string_view value) {
  for (const char* mark : {" #", " ;", "\t#", "\t;"}) value = value.substr(0, value.find(mark));
  return trimmed(value);
}

tl::unexpected<Error> bad_line(std::size_t number, const char* why) {
  return fail(ErrorCode::kMalformed, fmt::format("line {} {}", number, why));
}

/// "profile  x" as "profile x".
std::string section_name(std::string_view inside) {
  const std::string_view text = trimmed(inside);
  const auto blank = text.find_first_of(kBlanks);
  if (blank == text.npos) return std::string(text);
  return fmt::format("{} {}", text.substr(0, blank), trimmed(text.substr(blank)));
}

}  // namespace

Result<ProfileFile> parse_profile_file(std::string_view text) {
  if (text.size() > kProfileBytesMax)
    return fail(ErrorCode::kLimitExceeded, "the file is longer than 1 MiB");
  ProfileFile out;
  std::map<std::string, std::string>* section = nullptr;
  std::string parent;  // the setting that indented lines belong to
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const std::string_view content = trimmed(line);
    if (content.empty() || content[0] == '#' || content[0] == ';') continue;
    if (content[0] == '[') {
      const auto end = content.find(']');
      if (end == content.npos) return bad_line(number, "opens a section that does not close");
      section = &out[section_name(content.substr(1, end - 1))];
      parent.clear();
      continue;
    }
    const auto equals = content.find('=');
    if (equals == content.npos) return bad_line(number, "has no \"=\"");
    if (section == nullptr) return bad_line(number, "stands before the first section");
    const std::string key = ascii_lower(trimmed(content.substr(0, equals)));
    const std::string value(without_comment(content.substr(equals + 1)));
    const bool nested = kBlanks.find(line[0]) != kBlanks.npos && !parent.empty();
    (*section)[nested ? fmt::format("{}.{}", parent, key) : key] = value;
    if (!nested) parent = key;
  }
  return out;
}

}  // namespace kilter::io::s3
