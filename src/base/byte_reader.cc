#include "base/byte_reader.h"

#include <string>

#include "base/checked.h"
#include "base/try.h"

namespace kilter {
namespace {

tl::unexpected<Error> too_short(std::uint64_t offset_bytes, std::uint64_t wanted_bytes,
                                std::uint64_t remaining_bytes) {
  return fail(
      Error(ErrorCode::kMalformed, "the data ends too early")
          .at_offset(offset_bytes)
          .wanted(std::to_string(wanted_bytes) + " more bytes", std::to_string(remaining_bytes)));
}

// Assembled byte by byte: compilers make one load of it, and it needs no alignment.
template <typename T>
T load(Bytes bytes, std::endian order) {
  T value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    const std::size_t at = order == std::endian::little ? sizeof(T) - 1 - i : i;
    value = static_cast<T>(static_cast<T>(value << 7U << 1U) | static_cast<T>(bytes[at]));
  }
  return value;
}

template <typename T>
Result<T> read(ByteReader& reader, std::endian order) {
  KILTER_ASSIGN(const Bytes bytes, reader.take(sizeof(T)));
  return load<T>(bytes, order);
}

}  // namespace

Result<Bytes> ByteReader::take(std::uint64_t count_bytes) {
  if (count_bytes > remaining()) return too_short(offset_bytes(), count_bytes, remaining());
  const Bytes out = bytes_.subspan(position_, count_bytes);
  position_ += count_bytes;
  return out;
}

Status ByteReader::skip(std::uint64_t count_bytes) {
  KILTER_TRY(take(count_bytes));
  return ok();
}

Status ByteReader::seek(std::uint64_t position) {
  if (position > bytes_.size()) {
    return fail(Error(ErrorCode::kMalformed, "a position lies past the end of the data")
                    .at_offset(offset_bytes())
                    .wanted("at most " + std::to_string(bytes_.size()), std::to_string(position)));
  }
  position_ = position;
  return ok();
}

Result<std::uint8_t> ByteReader::u8() { return read<std::uint8_t>(*this, std::endian::little); }
Result<std::uint16_t> ByteReader::u16_le() {
  return read<std::uint16_t>(*this, std::endian::little);
}
Result<std::uint32_t> ByteReader::u32_le() {
  return read<std::uint32_t>(*this, std::endian::little);
}
Result<std::uint64_t> ByteReader::u64_le() {
  return read<std::uint64_t>(*this, std::endian::little);
}
Result<std::uint16_t> ByteReader::u16_be() { return read<std::uint16_t>(*this, std::endian::big); }
Result<std::uint32_t> ByteReader::u32_be() { return read<std::uint32_t>(*this, std::endian::big); }
Result<std::uint64_t> ByteReader::u64_be() { return read<std::uint64_t>(*this, std::endian::big); }

Result<std::string_view> ByteReader::until(char end) {
  const std::string_view rest = as_text(bytes_.subspan(position_));
  const std::size_t length = rest.find(end);
  if (length == std::string_view::npos) {
    return fail(Error(ErrorCode::kMalformed, "the data ends before a terminator")
                    .at_offset(offset_bytes())
                    .wanted("byte " + std::to_string(static_cast<unsigned char>(end)),
                            std::to_string(remaining()) + " bytes without it"));
  }
  position_ += length + 1;
  return rest.substr(0, length);
}

}  // namespace kilter
