#include "cli/wrap.h"

#include <algorithm>
#include <cstdint>

namespace kilter::cli {

namespace {

/// Length of the UTF-8 sequence that starts with `lead`.
std::size_t sequence_bytes(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead < 0xe0) return 2;
  return lead < 0xf0 ? 3 : 4;
}

std::uint32_t code_point(const std::string& text, std::size_t at, std::size_t length) {
  const auto lead = static_cast<unsigned char>(text[at]);
  std::uint32_t value = length == 1 ? lead : lead & (0xffU >> (length + 1));
  for (std::size_t i = 1; i < length && at + i < text.size(); ++i)
    value = value << 6 | (static_cast<unsigned char>(text[at + i]) & 0x3fU);
  return value;
}

/// Wide blocks of East Asian scripts and emoji (Unicode TR 11, coarse).
std::size_t columns_of(std::uint32_t c) {
  const bool wide = (c >= 0x1100 && c <= 0x115f) || (c >= 0x2e80 && c <= 0xa4cf) ||
                    (c >= 0xac00 && c <= 0xd7a3) || (c >= 0xf900 && c <= 0xfaff) ||
                    (c >= 0xfe30 && c <= 0xfe6f) || (c >= 0xff00 && c <= 0xff60) ||
                    (c >= 0x1f300 && c <= 0x1faff);
  const bool combining = c >= 0x300 && c <= 0x36f;
  return combining ? 0 : (wide ? 2 : 1);
}

}  // namespace

std::string wrap(const std::string& text, std::size_t width_columns) {
  std::string out, line;
  std::string word;
  const auto flush_word = [&] {
    if (word.empty()) return;
    if (!line.empty() && line.size() + 1 + word.size() > width_columns) {
      out += line + "\n";
      line.clear();
    }
    line += (line.empty() ? "" : " ") + word;
    word.clear();
  };
  for (const char c : text) {
    if (c != ' ' && c != '\n') {
      word += c;
      continue;
    }
    flush_word();
    if (c == '\n') {
      out += line + "\n";
      line.clear();
    }
  }
  flush_word();
  return out + line;
}

std::string two_columns(const std::string& left, const std::string& right, std::size_t left_columns,
                        std::size_t width_columns) {
  const std::string body = wrap(right, width_columns - left_columns);
  std::string out = "  " + left;
  if (out.size() + 2 > left_columns) {
    out += "\n" + std::string(left_columns, ' ');
  } else {
    out += std::string(left_columns - out.size(), ' ');
  }
  for (const char c : body) {
    out += c;
    if (c == '\n') out += std::string(left_columns, ' ');
  }
  return out + "\n";
}

std::size_t display_columns(const std::string& text) {
  std::size_t columns = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = sequence_bytes(static_cast<unsigned char>(text[at]));
    columns += columns_of(code_point(text, at, length));
    at += length;
  }
  return columns;
}

std::string padded(const std::string& text, std::size_t columns, bool cut) {
  const std::size_t used = display_columns(text);
  if (used <= columns) return text + std::string(columns - used, ' ');
  if (!cut || columns == 0) return text;
  std::string out;
  std::size_t at = 0, width = 0;
  while (at < text.size()) {
    const std::size_t length = sequence_bytes(static_cast<unsigned char>(text[at]));
    const std::size_t wide = columns_of(code_point(text, at, length));
    if (width + wide + 1 > columns) break;
    out += text.substr(at, length);
    width += wide;
    at += length;
  }
  return out + "…" + std::string(columns - width - 1, ' ');
}

std::string padded_left(const std::string& text, std::size_t columns) {
  const std::size_t used = display_columns(text);
  return used >= columns ? text : std::string(columns - used, ' ') + text;
}

}  // namespace kilter::cli
