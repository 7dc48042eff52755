// Writing and reading payloads. What a payload cannot be is kCorrupt: it came from a store, whose
// checksums should have held.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/byte_reader.h"
#include "base/raw_bytes.h"
#include "base/try.h"

namespace kilter::store {

/// Every form but raw and zstd begins its payload with this byte.
inline constexpr std::uint8_t kPayloadLayout = 1;

inline tl::unexpected<Error> corrupt(std::string what) {
  return fail(ErrorCode::kCorrupt, "a chunk's payload is damaged: " + std::move(what));
}

/// Appends little-endian numbers to a payload.
class PayloadWriter {
 public:
  explicit PayloadWriter(RawBytes& out) : out_(out) {}

  void u8(std::uint8_t value) { out_.push_back(static_cast<std::byte>(value)); }
  void u16(std::uint16_t value) { number(value); }
  void u32(std::uint32_t value) { number(value); }
  /// LEB128: seven bits a byte, lowest first, the highest bit set on all but the last.
  void varint(std::uint32_t value) {
    for (; value >= 0x80; value >>= 7) u8(static_cast<std::uint8_t>(value | 0x80));
    u8(static_cast<std::uint8_t>(value));
  }
  void bytes(Bytes run) { out_.insert(out_.end(), run.begin(), run.end()); }

 private:
  template <typename T>
  void number(T value) {
    for (std::size_t i = 0; i < sizeof(T); ++i) u8(static_cast<std::uint8_t>(value >> (8 * i)));
  }
  RawBytes& out_;
};

/// Takes numbers and runs of bytes in order; kCorrupt where the payload ends before they do.
class PayloadReader {
 public:
  explicit PayloadReader(Bytes bytes) : rest_(bytes) {}

  std::size_t remaining() const { return rest_.size(); }

  Result<Bytes> take(std::size_t count_bytes) {
    if (count_bytes > rest_.size()) return corrupt("it ends early");
    const Bytes run = rest_.first(count_bytes);
    rest_ = rest_.subspan(count_bytes);
    return run;
  }
  Result<std::uint8_t> u8() { return number<std::uint8_t>(); }
  Result<std::uint16_t> u16() { return number<std::uint16_t>(); }
  Result<std::uint32_t> u32() { return number<std::uint32_t>(); }
  Result<std::uint32_t> varint() {
    std::uint32_t value = 0;
    for (unsigned shift = 0; shift < 32; shift += 7) {
      KILTER_ASSIGN(const std::uint32_t byte, u8());
      value |= (byte & 0x7FU) << shift;
      if (byte < 0x80) return value;
    }
    return corrupt("a number has more than five bytes");
  }
  Status layout() {
    KILTER_ASSIGN(const std::uint8_t layout, u8());
    if (layout != kPayloadLayout) return corrupt("its layout is " + std::to_string(layout));
    return ok();
  }
  Status done() const { return rest_.empty() ? ok() : corrupt("bytes are left over"); }

 private:
  template <typename T>
  Result<T> number() {
    KILTER_ASSIGN(const Bytes run, take(sizeof(T)));
    return load_le<T>(run, 0);
  }
  Bytes rest_;
};

}  // namespace kilter::store
