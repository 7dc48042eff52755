#include "store/digest.h"

namespace kilter::store {
namespace {

/// 0..15; 16 for what is no lower-case digit.
unsigned nibble(char c) {
  if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a') + 10;
  return 16;
}

}  // namespace

std::optional<Digest> digest_from_hex(std::string_view text) {
  Digest digest;
  if (text.size() != 2 * digest.size()) return std::nullopt;
  for (std::size_t i = 0; i < digest.size(); ++i) {
    const unsigned high = nibble(text[2 * i]);
    const unsigned low = nibble(text[2 * i + 1]);
    if (high > 15 || low > 15) return std::nullopt;
    digest[i] = static_cast<std::byte>(high << 4U | low);
  }
  return digest;
}

}  // namespace kilter::store
