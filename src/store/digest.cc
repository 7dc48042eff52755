#include "store/digest.h"

#include <array>
#include <cstdint>

namespace kilter::store {
namespace {

constexpr std::uint8_t kNoDigit = 16;

/// The value of each lower-case digit; kNoDigit for everything else.
constexpr std::array<std::uint8_t, 256> make_digit_values() {
  std::array<std::uint8_t, 256> values{};
  values.fill(kNoDigit);
  for (std::uint8_t i = 0; i < 10; ++i) values[static_cast<std::size_t>('0' + i)] = i;
  for (std::uint8_t i = 10; i < 16; ++i) values[static_cast<std::size_t>('a' + i - 10)] = i;
  return values;
}
constexpr auto kDigitValues = make_digit_values();

}  // namespace

std::optional<Digest> digest_from_hex(std::string_view text) {
  Digest digest;
  if (text.size() != 2 * digest.size()) return std::nullopt;
  unsigned all = 0;
  for (std::size_t i = 0; i < digest.size(); ++i) {
    const unsigned high = kDigitValues[static_cast<std::uint8_t>(text[2 * i])];
    const unsigned low = kDigitValues[static_cast<std::uint8_t>(text[2 * i + 1])];
    all |= high | low;
    digest[i] = static_cast<std::byte>(high << 4U | (low & 15U));
  }
  if (all >= kNoDigit) return std::nullopt;
  return digest;
}

}  // namespace kilter::store
