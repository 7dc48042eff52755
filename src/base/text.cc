#include "base/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>

#include "base/utf8.h"

namespace kilter {
namespace {

struct CodeRange {
  char32_t first, last;
};

// What changes how a terminal or reader shows the text around it: controls, direction marks and
// overrides, invisible characters, separators that break lines. Source: Unicode TR 36 and TR 39.
constexpr std::array kUnsafeRanges = {
    CodeRange{0x0000, 0x001f}, CodeRange{0x007f, 0x009f},   CodeRange{0x00ad, 0x00ad},
    CodeRange{0x061c, 0x061c}, CodeRange{0x180e, 0x180e},   CodeRange{0x200b, 0x200f},
    CodeRange{0x2028, 0x202e}, CodeRange{0x2060, 0x206f},   CodeRange{0xfeff, 0xfeff},
    CodeRange{0xfff9, 0xfffb}, CodeRange{0xe0000, 0xe007f},
};

bool is_unsafe(char32_t code) {
  return std::any_of(kUnsafeRanges.begin(), kUnsafeRanges.end(),
                     [code](CodeRange range) { return code >= range.first && code <= range.last; });
}

void append_escaped(std::string& out, const Utf8Char& c) {
  const auto code = static_cast<std::uint32_t>(c.code);
  auto to = std::back_inserter(out);
  if (c.valid && !is_unsafe(c.code)) {
    append_utf8(out, c.code);
  } else if (code == '\n') {
    out += "\\n";
  } else if (code == '\r') {
    out += "\\r";
  } else if (code == '\t') {
    out += "\\t";
  } else if (code <= 0xff) {
    fmt::format_to(to, "\\x{:02x}", code);
  } else if (code <= 0xffff) {
    fmt::format_to(to, "\\u{:04x}", code);
  } else {
    fmt::format_to(to, "\\U{:08x}", code);
  }
}

// At most `decimals` digits after the point, none of them a closing zero.
std::string short_decimal(double value, int decimals) {
  std::string out = fmt::format("{:.{}f}", value, decimals);
  if (out.find('.') == std::string::npos) return out;
  out.erase(out.find_last_not_of('0') + 1);
  if (out.back() == '.') out.pop_back();
  return out;
}

int decimals_for_three_digits(double value) {
  if (value < 9.995) return 2;
  return value < 99.95 ? 1 : 0;
}

}  // namespace

std::string ascii_lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

std::string escape_text(std::string_view text, std::size_t chars_max) {
  std::string out;
  out.reserve(std::min(text.size(), chars_max));
  std::size_t chars = 0;
  for (std::size_t i = 0; i < text.size(); ++chars) {
    if (chars == chars_max) return out + "…";
    const Utf8Char c = decode_utf8(text, i);
    append_escaped(out, c);
    i += c.length_bytes;
  }
  return out;
}

std::string format_bytes(std::uint64_t bytes) {
  constexpr std::array kUnits = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (bytes < 1024) return fmt::format("{} B", bytes);
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  // 1023.95 would print as 1024: it belongs to the next unit.
  while (value >= 1023.95 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return fmt::format("{} {}", short_decimal(value, 1), kUnits[unit]);
}

std::string format_rate(double bytes_per_second) {
  if (!std::isfinite(bytes_per_second) || bytes_per_second < 0) return "? GB/s";
  if (bytes_per_second >= 0.995e8) return fmt::format("{:.2f} GB/s", bytes_per_second / 1e9);
  if (bytes_per_second >= 0.995e6) return fmt::format("{:.1f} MB/s", bytes_per_second / 1e6);
  return fmt::format("{:.1f} kB/s", bytes_per_second / 1e3);
}

std::string format_count(std::uint64_t count) {
  std::string digits = std::to_string(count);
  for (std::size_t i = digits.size(); i > 3; i -= 3) digits.insert(i - 3, 1, ',');
  return digits;
}

std::string format_quantity(std::uint64_t count) {
  constexpr std::array kUnits = {"", " K", " M", " B", " T", " P", " E"};
  if (count < 1000) return std::to_string(count);
  auto value = static_cast<double>(count);
  std::size_t unit = 0;
  while (value >= 999.5 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  return short_decimal(value, decimals_for_three_digits(value)) + kUnits[unit];
}

}  // namespace kilter
