#include "formats/pickle/numbers.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <vector>

#include "base/text.h"
#include "base/utf8.h"

namespace kilter::pickle {
namespace {

constexpr std::size_t kDecimalBytesMax = 1024;

bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

std::string_view trim(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

int digit_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'z') return c - 'a' + 10;
  if (c >= 'A' && c <= 'Z') return c - 'A' + 10;
  return 99;
}

// Digits without underscores; an underscore must stand between two digits.
std::optional<std::string> clean_digits(std::string_view text, int base) {
  std::string digits;
  digits.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool between = i > 0 && i + 1 < text.size() && text[i - 1] != '_';
    if (text[i] == '_' && between) continue;
    if (digit_value(text[i]) >= base) return std::nullopt;
    digits += text[i];
  }
  if (digits.empty()) return std::nullopt;
  const std::size_t zeros = std::min(digits.find_first_not_of('0'), digits.size() - 1);
  return digits.substr(zeros);
}

// A magnitude in base 1e9, least significant part first.
class Decimal {
 public:
  void multiply_add(std::uint32_t factor, std::uint32_t addend) {
    std::uint64_t carry = addend;
    for (std::uint32_t& part : parts_) {
      carry += std::uint64_t{part} * factor;
      part = static_cast<std::uint32_t>(carry % kBase);
      carry /= kBase;
    }
    while (carry != 0) {
      parts_.push_back(static_cast<std::uint32_t>(carry % kBase));
      carry /= kBase;
    }
  }
  std::string text() const {
    if (parts_.empty()) return "0";
    std::string out = std::to_string(parts_.back());
    for (std::size_t i = parts_.size() - 1; i-- > 0;) {
      const std::string part = std::to_string(parts_[i]);
      out.append(9 - part.size(), '0').append(part);
    }
    return out;
  }

 private:
  static constexpr std::uint64_t kBase = 1'000'000'000;
  std::vector<std::uint32_t> parts_;
};

std::optional<std::string> to_decimal(const std::string& digits, int base) {
  if (base == 10) return digits;
  const std::size_t bits_per_digit = base == 16 ? 4 : base == 8 ? 3 : 1;
  if (digits.size() * bits_per_digit > kDecimalBytesMax * 8) return std::nullopt;
  Decimal decimal;
  for (const char c : digits) {
    decimal.multiply_add(static_cast<std::uint32_t>(base),
                         static_cast<std::uint32_t>(digit_value(c)));
  }
  return decimal.text();
}

// The base that a prefix states; removes the prefix. Python 2 also wrote octal as 0777.
int take_base(std::string_view* text) {
  if (text->size() < 2 || text->front() != '0') return 10;
  const char mark = static_cast<char>((*text)[1] | 0x20);
  const int base = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 0;
  if (base == 0) return 8;
  text->remove_prefix(2);
  if (!text->empty() && text->front() == '_') text->remove_prefix(1);
  return base;
}

std::string hex_text(const std::vector<std::uint8_t>& magnitude, bool negative) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string digits;
  for (std::size_t i = magnitude.size(); i-- > 0;) {
    digits += kHex[magnitude[i] >> 4U];
    digits += kHex[magnitude[i] & 15U];
  }
  digits.erase(0, std::min(digits.find_first_not_of('0'), digits.size() - 1));
  return std::string(negative ? "-0x" : "0x").append(digits);
}

// Replaces a negative two's complement number by its magnitude.
void negate(std::vector<std::uint8_t>* bytes) {
  unsigned carry = 1;
  for (std::uint8_t& byte : *bytes) {
    carry += static_cast<std::uint8_t>(~byte);
    byte = static_cast<std::uint8_t>(carry);
    carry >>= 8U;
  }
  if (carry != 0) bytes->push_back(1);
}

std::optional<char32_t> hex_code(std::string_view digits) {
  std::uint32_t code = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), code, 16);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  if (code > 0x10ffff) return std::nullopt;
  return static_cast<char32_t>(code);
}

// One escape of a STRING argument, `at` behind the backslash. Moves `at` behind the escape.
bool decode_escape(std::string_view text, std::size_t* at, std::string* out) {
  const char c = text[(*at)++];
  constexpr std::string_view kNames = "abfnrtv\\'\"";
  constexpr std::string_view kValues = "\a\b\f\n\r\t\v\\'\"";
  if (const std::size_t known = kNames.find(c); known != std::string_view::npos) {
    *out += kValues[known];
  } else if (c >= '0' && c <= '7') {
    int value = c - '0';
    for (int i = 0; i < 2 && *at < text.size() && digit_value(text[*at]) < 8; ++i) {
      value = value * 8 + digit_value(text[(*at)++]);
    }
    *out += static_cast<char>(value & 0xff);
  } else if (c == 'x') {
    if (text.size() - *at < 2) return false;
    const auto code = hex_code(text.substr(*at, 2));
    if (!code) return false;
    *out += static_cast<char>(*code);
    *at += 2;
  } else if (c != '\n') {
    *out += '\\';
    *out += c;
  }
  return true;
}

}  // namespace

std::optional<ParsedInt> parse_int(std::string_view text, int base) {
  text = trim(text);
  const bool negative = !text.empty() && text.front() == '-';
  if (!text.empty() && (text.front() == '-' || text.front() == '+')) text.remove_prefix(1);
  if (base == 0) base = take_base(&text);
  const auto digits = clean_digits(text, base);
  if (!digits) return std::nullopt;

  ParsedInt out;
  const std::string with_sign = std::string(negative ? "-" : "").append(*digits);
  const auto [end, error] =
      std::from_chars(with_sign.data(), with_sign.data() + with_sign.size(), out.value, base);
  if (error == std::errc() && end == with_sign.data() + with_sign.size()) return out;
  const auto decimal = to_decimal(*digits, base);
  if (!decimal) return std::nullopt;
  out.value = 0;
  out.text = std::string(negative ? "-" : "").append(*decimal);
  return out;
}

ParsedInt decode_long(Bytes bytes) {
  ParsedInt out;
  if (bytes.empty()) return out;
  const bool negative = (std::to_integer<unsigned>(bytes.back()) & 0x80U) != 0;
  if (bytes.size() <= 8) {
    std::uint64_t value = negative ? ~std::uint64_t{0} : 0;
    for (std::size_t i = bytes.size(); i-- > 0;) {
      value = (value << 8U) | std::to_integer<std::uint64_t>(bytes[i]);
    }
    out.value = static_cast<std::int64_t>(value);
    return out;
  }
  std::vector<std::uint8_t> magnitude(bytes.size());
  std::transform(bytes.begin(), bytes.end(), magnitude.begin(),
                 [](std::byte b) { return std::to_integer<std::uint8_t>(b); });
  if (negative) negate(&magnitude);
  while (!magnitude.empty() && magnitude.back() == 0) magnitude.pop_back();
  std::uint64_t low = 0;
  if (magnitude.size() <= 8) {
    for (std::size_t i = magnitude.size(); i-- > 0;) low = (low << 8U) | magnitude[i];
    if (low <= static_cast<std::uint64_t>(INT64_MAX)) {
      out.value = negative ? -static_cast<std::int64_t>(low) : static_cast<std::int64_t>(low);
      return out;
    }
  }
  if (magnitude.size() > kDecimalBytesMax) {
    out.text = hex_text(magnitude, negative);
    return out;
  }
  Decimal decimal;
  for (std::size_t i = magnitude.size(); i-- > 0;) decimal.multiply_add(256, magnitude[i]);
  out.text = std::string(negative ? "-" : "").append(decimal.text());
  return out;
}

std::optional<double> parse_float(std::string_view text) {
  if (!text.empty() && text.front() == '+') text.remove_prefix(1);
  if (text.empty() || text.front() == '+') return std::nullopt;
  double value = 0;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, value);
  if (parsed.ptr != end) return std::nullopt;
  if (parsed.ec == std::errc()) return value;
  // Too small becomes zero or a subnormal, as in Python; too large is an error there.
  value = std::strtod(std::string(text).c_str(), nullptr);
  if (value > 1 || value < -1) return std::nullopt;
  return value;
}

std::optional<std::string> decode_escapes(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    if (text[i] != '\\') {
      out += text[i++];
      continue;
    }
    if (++i == text.size() || !decode_escape(text, &i, &out)) return std::nullopt;
  }
  return out;
}

std::optional<std::string> decode_raw_unicode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i++];
    if (c != '\\' || i == text.size()) {
      append_utf8(out, static_cast<unsigned char>(c));
      continue;
    }
    const char kind = text[i++];
    if (kind != 'u' && kind != 'U') {
      out += '\\';
      append_utf8(out, static_cast<unsigned char>(kind));
      continue;
    }
    const std::size_t length = kind == 'u' ? 4 : 8;
    if (text.size() - i < length) return std::nullopt;
    const auto code = hex_code(text.substr(i, length));
    if (!code) return std::nullopt;
    append_utf8(out, *code);
    i += length;
  }
  return out;
}

bool is_valid_wtf8(std::string_view text) {
  if (is_valid_utf8(text)) return true;
  for (std::size_t i = 0; i < text.size();) {
    if (static_cast<unsigned char>(text[i]) < 0x80) {
      ++i;
      continue;
    }
    const Utf8Char c = decode_utf8(text, i);
    if (c.valid) {
      i += c.length_bytes;
      continue;
    }
    // A surrogate: ED A0..BF 80..BF.
    if (text.size() - i < 3) return false;
    const auto byte = [&](std::size_t k) { return static_cast<unsigned char>(text[i + k]); };
    if (byte(0) != 0xed || byte(1) < 0xa0 || byte(1) > 0xbf) return false;
    if ((byte(2) & 0xc0U) != 0x80) return false;
    i += 3;
  }
  return true;
}

}  // namespace kilter::pickle
