#include "base/protobuf.h"

#include "base/try.h"

namespace kilter {
namespace {

Error wire_error(std::string message, std::uint64_t offset_bytes) {
  return Error(ErrorCode::kMalformed, std::move(message)).at_offset(offset_bytes);
}

}  // namespace

Result<std::uint64_t> read_varint(ByteReader* reader) {
  const std::uint64_t begin = reader->offset_bytes();
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 70; shift += 7) {
    KILTER_ASSIGN(const std::uint8_t byte, reader->u8());
    // The tenth byte holds the 64th bit alone.
    if (shift == 63 && byte > 1) break;
    value |= static_cast<std::uint64_t>(byte & 0x7fU) << shift;
    if ((byte & 0x80U) == 0) return value;
  }
  return fail(wire_error("a number of more than 64 bits", begin));
}

Result<ProtoField> ProtoReader::next() {
  const std::uint64_t begin = reader_.offset_bytes();
  KILTER_ASSIGN(const std::uint64_t key, read_varint(&reader_));
  ProtoField field;
  field.number = key >> 3U;
  const std::uint64_t wire = key & 7U;
  if (field.number == 0) return fail(wire_error("a field without a number", begin));
  field.offset_bytes = reader_.offset_bytes();
  if (wire == static_cast<std::uint64_t>(WireType::kVarint)) {
    KILTER_ASSIGN(field.value, read_varint(&reader_));
  } else if (wire == static_cast<std::uint64_t>(WireType::kFixed64)) {
    KILTER_ASSIGN(field.value, reader_.u64_le());
  } else if (wire == static_cast<std::uint64_t>(WireType::kBytes)) {
    KILTER_ASSIGN(const std::uint64_t bytes, read_varint(&reader_));
    field.offset_bytes = reader_.offset_bytes();
    KILTER_ASSIGN(field.content, reader_.take(bytes));
  } else if (wire == static_cast<std::uint64_t>(WireType::kFixed32)) {
    KILTER_ASSIGN(field.value, reader_.u32_le());
  } else {
    return fail(wire_error("a field of a kind that is not read", begin)
                    .wanted("wire type 0, 1, 2 or 5", std::to_string(wire)));
  }
  field.type = static_cast<WireType>(wire);
  return field;
}

}  // namespace kilter
