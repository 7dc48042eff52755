#include <algorithm>
#include <array>
#include <optional>

#include "base/checked.h"
#include "base/text.h"

namespace kilter {
namespace {

struct Unit {
  std::string_view name;  // lower case
  std::uint64_t bytes;
};

constexpr std::array kByteUnits = {
    Unit{"", 1},
    Unit{"b", 1},
    Unit{"k", 1ULL << 10U},
    Unit{"kib", 1ULL << 10U},
    Unit{"kb", 1'000ULL},
    Unit{"m", 1ULL << 20U},
    Unit{"mib", 1ULL << 20U},
    Unit{"mb", 1'000'000ULL},
    Unit{"g", 1ULL << 30U},
    Unit{"gib", 1ULL << 30U},
    Unit{"gb", 1'000'000'000ULL},
    Unit{"t", 1ULL << 40U},
    Unit{"tib", 1ULL << 40U},
    Unit{"tb", 1'000'000'000'000ULL},
};

// More digits than this after the point are refused: below it nothing overflows.
constexpr std::size_t kFractionDigitsMax = 6;

std::string_view take_digits(std::string_view& text) {
  const std::string_view digits = text.substr(0, text.find_first_not_of("0123456789"));
  text.remove_prefix(digits.size());
  return digits;
}

std::optional<std::uint64_t> to_number(std::string_view digits) {
  std::uint64_t value = 0;
  for (const char c : digits) {
    const auto tenfold = checked_mul<std::uint64_t>(value, 10);
    const auto next =
        tenfold ? checked_add(*tenfold, static_cast<std::uint64_t>(c - '0')) : std::nullopt;
    if (!next) return std::nullopt;
    value = *next;
  }
  return value;
}

std::optional<std::uint64_t> unit_bytes(std::string_view text) {
  std::string name(text.substr(std::min(text.find_first_not_of(' '), text.size())));
  for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  const auto* row = std::find_if(kByteUnits.begin(), kByteUnits.end(),
                                 [&name](const Unit& unit) { return unit.name == name; });
  if (row == kByteUnits.end()) return std::nullopt;
  return row->bytes;
}

std::optional<std::uint64_t> fraction_bytes(std::string_view digits, std::uint64_t unit) {
  if (digits.size() > kFractionDigitsMax) return std::nullopt;
  std::uint64_t scale = 1;
  for (std::size_t i = 0; i < digits.size(); ++i) scale *= 10;
  return *to_number(digits) * unit / scale;
}

}  // namespace

bool parse_bytes(std::string_view text, std::uint64_t* bytes) {
  const std::string_view whole = take_digits(text);
  if (whole.empty()) return false;
  std::string_view fraction;
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    fraction = take_digits(text);
    if (fraction.empty()) return false;
  }
  const auto unit = unit_bytes(text);
  const auto count = to_number(whole);
  if (!unit || !count) return false;
  const auto whole_bytes = checked_mul(*count, *unit);
  const auto part_bytes = fraction_bytes(fraction, *unit);
  if (!whole_bytes || !part_bytes) return false;
  const auto sum = checked_add(*whole_bytes, *part_bytes);
  if (!sum) return false;
  *bytes = *sum;
  return true;
}

}  // namespace kilter
