// Text from files and from the command line: escaping, UTF-8, globs, sizes, base 64.
// The input up to its first NUL is a pattern, the rest is the text.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/base64.h"
#include "base/text.h"
#include "base/utf8.h"

namespace {

void check(bool holds) {
  if (!holds) std::abort();
}

bool printable(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return false;
  }
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 4096) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t border = input.find('\0');
  const std::string_view pattern = input.substr(0, border);
  const std::string_view text =
      border == std::string_view::npos ? std::string_view() : input.substr(border + 1);

  const std::string escaped = kilter::escape_text(text, 100);
  check(printable(escaped) && kilter::is_valid_utf8(escaped));
  check(kilter::is_valid_utf8(kilter::replace_invalid_utf8(text)));
  check(kilter::glob_match("*", text));
  (void)kilter::glob_match(pattern, text);

  std::uint64_t bytes = 0;
  (void)kilter::parse_bytes(pattern, &bytes);

  const std::string encoded = kilter::base64_encode(kilter::as_bytes(text));
  const auto decoded = kilter::base64_decode(encoded);
  check(decoded && kilter::as_text(*decoded) == text);
  const auto strict = kilter::base64_decode(pattern);
  check(!strict || kilter::base64_encode(*strict) == pattern);
  return 0;
}
