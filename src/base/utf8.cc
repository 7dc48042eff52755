#include "base/utf8.h"

#include <cstdint>
#include <cstring>

#include "base/text.h"

namespace kilter {
namespace {

std::uint8_t byte_at(std::string_view text, std::size_t position) {
  return static_cast<std::uint8_t>(text[position]);
}

struct Lead {
  std::size_t length_bytes;  // 0: no character begins with this byte
  std::uint32_t bits;        // of the code point that the lead byte carries
  std::uint32_t code_min;    // below it the form is overlong
};

Lead lead_of(std::uint8_t byte) {
  if (byte < 0x80) return {1, byte, 0};
  if ((byte & 0xe0U) == 0xc0) return {2, byte & 0x1fU, 0x80};
  if ((byte & 0xf0U) == 0xe0) return {3, byte & 0x0fU, 0x800};
  if ((byte & 0xf8U) == 0xf0) return {4, byte & 0x07U, 0x10000};
  return {0, 0, 0};
}

std::size_t ascii_run(std::string_view text, std::size_t position) {
  const std::size_t begin = position;
  while (text.size() - position >= 8) {
    std::uint64_t word;
    std::memcpy(&word, text.data() + position, 8);
    if ((word & 0x8080808080808080ULL) != 0) break;
    position += 8;
  }
  while (position < text.size() && byte_at(text, position) < 0x80) ++position;
  return position - begin;
}

}  // namespace

Utf8Char decode_utf8(std::string_view text, std::size_t position) {
  const std::uint8_t first = byte_at(text, position);
  const Utf8Char bad{first, 1, false};
  const Lead lead = lead_of(first);
  if (lead.length_bytes == 0 || lead.length_bytes > text.size() - position) return bad;

  std::uint32_t code = lead.bits;
  for (std::size_t i = 1; i < lead.length_bytes; ++i) {
    const std::uint8_t next = byte_at(text, position + i);
    if ((next & 0xc0U) != 0x80) return bad;
    code = (code << 6U) | (next & 0x3fU);
  }
  const bool surrogate = code >= 0xd800 && code <= 0xdfff;
  if (code < lead.code_min || surrogate || code > 0x10ffff) return bad;
  return {static_cast<char32_t>(code), lead.length_bytes, true};
}

void append_utf8(std::string& out, char32_t code) {
  const auto value = static_cast<std::uint32_t>(code);
  const auto tail = [value](unsigned shift) {
    return static_cast<char>(0x80U | ((value >> shift) & 0x3fU));
  };
  if (value < 0x80) {
    out += static_cast<char>(value);
  } else if (value < 0x800) {
    out += {static_cast<char>(0xc0U | (value >> 6U)), tail(0)};
  } else if (value < 0x10000) {
    out += {static_cast<char>(0xe0U | (value >> 12U)), tail(6), tail(0)};
  } else {
    out += {static_cast<char>(0xf0U | (value >> 18U)), tail(12), tail(6), tail(0)};
  }
}

std::string replace_invalid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const Utf8Char c = decode_utf8(text, i);
    append_utf8(out, c.valid ? c.code : char32_t{0xfffd});
    i += c.length_bytes;
  }
  return out;
}

bool is_valid_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    i += ascii_run(text, i);
    if (i == text.size()) break;
    const Utf8Char c = decode_utf8(text, i);
    if (!c.valid) return false;
    i += c.length_bytes;
  }
  return true;
}

}  // namespace kilter
