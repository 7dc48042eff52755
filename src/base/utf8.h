// One UTF-8 character at a time.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace kilter {

struct Utf8Char {
  char32_t code = 0;             ///< the raw byte where `valid` is false
  std::size_t length_bytes = 1;  ///< 1 where `valid` is false
  bool valid = false;
};

/// The character that begins at `position`, which must lie inside `text`. Refuses overlong forms,
/// surrogates and what lies past U+10FFFF. Source: The Unicode Standard, table 3-7.
Utf8Char decode_utf8(std::string_view text, std::size_t position);

/// Appends `code` (at most U+10FFFF) to `out`.
void append_utf8(std::string& out, char32_t code);

/// `text` with each byte that belongs to no valid character replaced by U+FFFD.
std::string replace_invalid_utf8(std::string_view text);

}  // namespace kilter
