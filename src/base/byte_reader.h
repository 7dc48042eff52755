// A cursor over bytes in memory that cannot leave them.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "kilter/error.h"

namespace kilter {

using Bytes = std::span<const std::byte>;

inline std::string_view as_text(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
inline Bytes as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

/// The little-endian number at `at`, which the caller has checked to lie inside: for records of a
/// fixed size that come by the thousand.
template <typename T>
T load_le(Bytes bytes, std::size_t at) {
  T value = 0;
  for (std::size_t i = sizeof(T); i-- > 0;)
    value = static_cast<T>(static_cast<T>(value << 7U << 1U) | static_cast<T>(bytes[at + i]));
  return value;
}

/// Reads little- or big-endian numbers and runs of bytes in order. Every read is checked against
/// what remains; a failed read moves nothing and returns kMalformed with the offset (counted from
/// `base_offset_bytes`, the position of the first byte in its file), expected and found.
class ByteReader {
 public:
  explicit ByteReader(Bytes bytes, std::uint64_t base_offset_bytes = 0)
      : bytes_(bytes), base_(base_offset_bytes) {}

  std::uint64_t remaining() const { return bytes_.size() - position_; }
  std::uint64_t position() const { return position_; }              ///< within the span
  std::uint64_t offset_bytes() const { return base_ + position_; }  ///< within the file
  bool done() const { return position_ == bytes_.size(); }

  Result<Bytes> take(std::uint64_t count_bytes);  ///< a view, no copy
  Status skip(std::uint64_t count_bytes);
  Status seek(std::uint64_t position);

  Result<std::uint8_t> u8();
  Result<std::uint16_t> u16_le();
  Result<std::uint32_t> u32_le();
  Result<std::uint64_t> u64_le();
  Result<std::uint16_t> u16_be();
  Result<std::uint32_t> u32_be();
  Result<std::uint64_t> u64_be();
  /// Bytes up to and without `end`; moves past `end`. kMalformed if it does not come.
  Result<std::string_view> until(char end);

 private:
  Bytes bytes_;
  std::uint64_t base_;
  std::uint64_t position_ = 0;
};

}  // namespace kilter
