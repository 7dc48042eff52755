// The wire format of protocol buffers: fields of a message, one after another, within its bytes.
// Source: protobuf.dev/programming-guides/encoding.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/byte_reader.h"

namespace kilter {

/// A base-128 number of at most ten bytes, as LevelDB's tables write them too.
/// Errors: kMalformed with the offset: cut off, or more than 64 bits.
Result<std::uint64_t> read_varint(ByteReader* reader);

enum class WireType : std::uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

struct ProtoField {
  std::uint64_t number = 0;  ///< as in the .proto, from 1 on
  WireType type = WireType::kVarint;
  std::uint64_t value = 0;         ///< of a varint or a fixed number
  Bytes content;                   ///< of kBytes: a string, a message, packed numbers
  std::uint64_t offset_bytes = 0;  ///< of the content, counted as the reader counts

  bool is(std::uint64_t field_number, WireType wire) const {
    return number == field_number && type == wire;
  }
  std::int64_t integer() const { return static_cast<std::int64_t>(value); }  ///< int32, int64
  std::string_view text() const { return as_text(content); }
};

/// Walks the fields of one message. Messages inside are fields of kBytes: give their content to a
/// reader of their own (no recursion here, so depth is the caller's choice). Groups, which proto3
/// does not have, are refused.
class ProtoReader {
 public:
  explicit ProtoReader(Bytes message, std::uint64_t base_offset_bytes = 0)
      : reader_(message, base_offset_bytes) {}

  bool done() const { return reader_.done(); }
  /// The next field. Call only while not done(). Errors: kMalformed with the offset.
  Result<ProtoField> next();

 private:
  ByteReader reader_;
};

}  // namespace kilter
