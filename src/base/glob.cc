#include <optional>

#include "base/text.h"
#include "base/utf8.h"

namespace kilter {
namespace {

// Bytes that are no UTF-8 match only themselves: they stand past the last code point.
char32_t take(std::string_view text, std::size_t& position) {
  const Utf8Char c = decode_utf8(text, position);
  position += c.length_bytes;
  return c.valid ? c.code : c.code + 0x110000;
}

char32_t take_escaped(std::string_view pattern, std::size_t& position) {
  const char32_t c = take(pattern, position);
  return c == U'\\' && position < pattern.size() ? take(pattern, position) : c;
}

struct ClassMatch {
  std::size_t end;  // of the class in the pattern
  bool matched;
};

/// Matches `c` against the class whose '[' lies before `position`; nullopt where no ']' ends it
/// (the '[' then stands for itself). A ']' right after the opening belongs to the class.
std::optional<ClassMatch> match_class(std::string_view pattern, std::size_t position, char32_t c) {
  bool negated = false;
  if (position < pattern.size() && (pattern[position] == '!' || pattern[position] == '^')) {
    negated = true;
    ++position;
  }
  bool matched = false;
  for (bool first = true; position < pattern.size(); first = false) {
    if (pattern[position] == ']' && !first) return ClassMatch{position + 1, matched != negated};
    const char32_t low = take_escaped(pattern, position);
    char32_t high = low;
    if (position + 1 < pattern.size() && pattern[position] == '-' && pattern[position + 1] != ']') {
      ++position;
      high = take_escaped(pattern, position);
    }
    matched = matched || (c >= low && c <= high);
  }
  return std::nullopt;
}

/// Moves both positions past one character of text and what matched it; false where nothing did.
bool match_one(std::string_view pattern, std::size_t& p, std::string_view text, std::size_t& t) {
  if (p == pattern.size()) return false;
  const char32_t c = take(text, t);
  if (pattern[p] == '?') {
    ++p;
    return true;
  }
  if (pattern[p] == '[') {
    if (const auto found = match_class(pattern, p + 1, c)) {
      p = found->end;
      return found->matched;
    }
  }
  return take_escaped(pattern, p) == c;
}

}  // namespace

bool glob_match(std::string_view pattern, std::string_view text) {
  std::size_t p = 0, t = 0;
  // Where to go on when what follows the last star does not fit: one character later.
  std::size_t star = std::string_view::npos, retry = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = ++p;
      retry = t;
      continue;
    }
    if (match_one(pattern, p, text, t)) continue;
    if (star == std::string_view::npos) return false;
    take(text, retry);
    p = star;
    t = retry;
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

}  // namespace kilter
