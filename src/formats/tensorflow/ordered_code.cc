#include "formats/tensorflow/ordered_code.h"

#include <algorithm>
#include <bit>

namespace kilter::tensorflow {
namespace {

constexpr std::size_t kSignedBytesMax = 10;

/// The count of bytes, then that many bytes, the highest first, no zero in front.
std::optional<std::uint64_t> take_number(std::string_view* text) {
  if (text->empty()) return std::nullopt;
  const auto bytes = static_cast<std::size_t>(static_cast<unsigned char>(text->front()));
  if (bytes > 8 || text->size() < 1 + bytes) return std::nullopt;
  std::uint64_t value = 0;
  for (std::size_t i = 1; i <= bytes; ++i)
    value = value << 8U | static_cast<unsigned char>((*text)[i]);
  text->remove_prefix(1 + bytes);
  return value;
}

/// 0x00 is written as 00 ff and 0xff as ff 00, so that 00 01 can end the string.
std::optional<std::string> take_string(std::string_view* text) {
  std::string out;
  while (text->size() >= 2) {
    const char first = text->front(), second = (*text)[1];
    const bool escaped = first == '\0' || first == '\xff';
    text->remove_prefix(escaped ? 2 : 1);
    if (!escaped) {
      out += first;
    } else if (first == '\0' && second == '\1') {
      return out;
    } else if (second == (first == '\0' ? '\xff' : '\0')) {
      out += first;
    } else {
      return std::nullopt;
    }
  }
  return std::nullopt;
}

/// Two's complement, the highest byte first. The sign bit (inverted) and then as many equal bits as
/// there are further bytes tell the length: of n bytes, 7n bits are the number.
std::optional<std::int64_t> take_signed(std::string_view* text) {
  if (text->empty()) return std::nullopt;
  const bool negative = (static_cast<unsigned char>(text->front()) & 0x80U) == 0;
  const auto byte_at = [&](std::size_t i) {
    const auto byte = static_cast<unsigned char>((*text)[i]);
    return static_cast<unsigned char>(negative ? ~byte : byte);
  };
  auto bytes = static_cast<std::size_t>(std::countl_one(byte_at(0)));
  if (bytes == 8 && text->size() >= 2)
    bytes += static_cast<std::size_t>(std::countl_one(byte_at(1)));
  if (bytes > kSignedBytesMax || text->size() < bytes) return std::nullopt;
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes; ++i) {
    // The first `bytes` bits are the length's.
    const std::size_t bits = bytes > i * 8 ? std::min<std::size_t>(bytes - i * 8, 8) : 0;
    value = value << 8U | (byte_at(i) & (0xffU >> bits));
  }
  if (value >> 63U != 0) return std::nullopt;
  text->remove_prefix(bytes);
  return static_cast<std::int64_t>(negative ? ~value : value);
}

void put_number(std::uint64_t value, std::string* out) {
  const int bytes = (64 - std::countl_zero(value) + 7) / 8;
  *out += static_cast<char>(bytes);
  for (int i = bytes; i-- > 0;) *out += static_cast<char>(value >> (8 * i));
}

void put_string(std::string_view text, std::string* out) {
  for (const char c : text) {
    *out += c;
    if (c == '\0') *out += '\xff';
    if (c == '\xff') *out += '\0';
  }
  out->append("\0\1", 2);
}

void put_signed(std::int64_t value, std::string* out) {
  const bool negative = value < 0;
  const auto magnitude = static_cast<std::uint64_t>(negative ? ~value : value);
  const std::size_t bits = 65 - static_cast<std::size_t>(std::countl_zero(magnitude));
  const std::size_t bytes = std::max<std::size_t>((bits + 6) / 7, 1);
  std::string code(bytes, '\0');
  for (std::size_t i = 0; i < bytes && i < 8; ++i)
    code[bytes - 1 - i] = static_cast<char>(magnitude >> (8 * i));
  for (std::size_t bit = 0; bit < bytes; ++bit)
    code[bit / 8] = static_cast<char>(code[bit / 8] | 0x80 >> (bit % 8));
  if (negative)
    for (char& c : code) c = static_cast<char>(~c);
  *out += code;
}

}  // namespace

std::optional<SliceKey> decode_slice_key(std::string_view key) {
  const auto zero = take_number(&key);
  if (!zero || *zero != 0) return std::nullopt;
  SliceKey out;
  auto name = take_string(&key);
  const auto rank = name ? take_number(&key) : std::nullopt;
  if (!rank || *rank > kRankMax) return std::nullopt;
  out.name = std::move(*name);
  for (std::uint64_t i = 0; i < *rank; ++i) {
    const auto start = take_signed(&key);
    const auto length = start ? take_signed(&key) : std::nullopt;
    if (!length) return std::nullopt;
    out.extents.push_back({*start, *length});
  }
  if (!key.empty()) return std::nullopt;
  return out;
}

std::string encode_slice_key(const SliceKey& key) {
  std::string out;
  put_number(0, &out);
  put_string(key.name, &out);
  put_number(key.extents.size(), &out);
  for (const Extent& extent : key.extents) {
    put_signed(extent.start, &out);
    put_signed(extent.length, &out);
  }
  return out;
}

}  // namespace kilter::tensorflow
