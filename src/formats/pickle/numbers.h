// Numbers and strings as the text opcodes of protocol 0 write them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/byte_reader.h"

namespace kilter::pickle {

/// An integer: `text` is set, in decimal, where it does not fit in 64 bits.
struct ParsedInt {
  std::int64_t value = 0;
  std::string text;
};

/// As Python's int(text, base): blanks around, a sign, underscores between digits. `base` is 10, or
/// 0 for prefixes (0x, 0o, 0b). nullopt if it is none. Linear, except that other than decimal
/// digits are limited to 1024 bytes' worth.
std::optional<ParsedInt> parse_int(std::string_view text, int base);

/// Two's complement, little-endian, of any length. Above 1024 bytes `text` is hexadecimal
/// ("0x…", "-0x…"): decimal would take time quadratic in the length.
ParsedInt decode_long(Bytes bytes);

/// As Python's float(text) without blanks around.
std::optional<double> parse_float(std::string_view text);

/// The bytes that a quoted STRING argument stands for; nullopt where the escapes are broken.
std::optional<std::string> decode_escapes(std::string_view text);

/// The UTF-8 (surrogates as WTF-8) that a raw-unicode-escape line stands for.
std::optional<std::string> decode_raw_unicode(std::string_view text);

/// UTF-8 in which surrogates may be encoded too, as Python's "surrogatepass" reads it.
bool is_valid_wtf8(std::string_view text);

}  // namespace kilter::pickle
