#include "base/base64.h"

#include <algorithm>
#include <array>
#include <cstdint>

namespace kilter {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::uint8_t kNoDigit = 255;

constexpr std::array<std::uint8_t, 256> make_values() {
  std::array<std::uint8_t, 256> values{};
  values.fill(kNoDigit);
  for (std::size_t i = 0; i < kAlphabet.size(); ++i) {
    values[static_cast<unsigned char>(kAlphabet[i])] = static_cast<std::uint8_t>(i);
  }
  return values;
}
constexpr std::array<std::uint8_t, 256> kValues = make_values();

tl::unexpected<Error> bad_text(std::string message, std::size_t offset_bytes) {
  return fail(Error(ErrorCode::kMalformed, std::move(message)).at_offset(offset_bytes));
}

std::size_t padding_of(std::string_view text) {
  if (text.ends_with("==")) return 2;
  return text.ends_with('=') ? 1 : 0;
}

}  // namespace

std::string base64_encode(Bytes bytes) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t count = std::min<std::size_t>(bytes.size() - i, 3);
    std::uint32_t group = 0;
    for (std::size_t j = 0; j < 3; ++j) {
      group = (group << 8U) | (j < count ? std::to_integer<std::uint32_t>(bytes[i + j]) : 0U);
    }
    for (std::size_t j = 0; j < 4; ++j) {
      out += j <= count ? kAlphabet[(group >> (18U - 6U * j)) & 63U] : '=';
    }
  }
  return out;
}

Result<std::vector<std::byte>> base64_decode(std::string_view text) {
  if (text.size() % 4 != 0) return bad_text("base 64 text is no multiple of 4 long", text.size());
  const std::size_t padding = padding_of(text);
  const std::string_view digits = text.substr(0, text.size() - padding);

  std::vector<std::byte> out;
  out.reserve(text.size() / 4 * 3);
  std::uint32_t pending = 0;
  unsigned pending_bits = 0;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    const std::uint8_t value = kValues[static_cast<unsigned char>(digits[i])];
    if (value == kNoDigit) return bad_text("a character does not belong to base 64", i);
    pending = ((pending << 6U) | value) & 0xffffU;
    pending_bits += 6;
    if (pending_bits < 8) continue;
    pending_bits -= 8;
    out.push_back(static_cast<std::byte>(pending >> pending_bits));
  }
  if ((pending & ((1U << pending_bits) - 1U)) != 0) {
    return bad_text("base 64 text ends in bits that stand for nothing", digits.size());
  }
  return out;
}

}  // namespace kilter
