#include "store/format/records.h"

#include <libdeflate.h>

#include <cstring>

#include "base/checked.h"

namespace kilter::store {
namespace {

constexpr std::string_view kPackMagic = "KILTPACK";
constexpr std::string_view kPackEndMagic = "KILTPEND";
constexpr std::uint32_t kPackVersion = 1;

template <typename T>
void append_le(std::vector<std::byte>& out, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i)
    out.push_back(static_cast<std::byte>(value >> (8 * i) & 0xff));
}

Status check_record(const ChunkRecord& record) {
  const std::uint64_t bytes_max =
      record.kind == ChunkKind::kData ? kChunkBytesMax : kObjectBytesMax;
  const char* fault = nullptr;
  if (record.bytes > bytes_max) fault = "a chunk is larger than its kind may be";
  if (record.stored_bytes > record.bytes) fault = "a chunk is stored in more bytes than it has";
  if (record.form == Form::kRaw && record.stored_bytes != record.bytes)
    fault = "a raw chunk is not stored in as many bytes as it has";
  if (record.depth > kDepthMax) fault = "a chunk leans on too many others";
  if ((record.depth != 0) != record.has_base()) fault = "a chunk's depth does not fit its form";
  return fault == nullptr ? ok() : Status(fail(ErrorCode::kMalformed, fault));
}

}  // namespace

void append_u32(std::vector<std::byte>& out, std::uint32_t value) { append_le(out, value); }
void append_u64(std::vector<std::byte>& out, std::uint64_t value) { append_le(out, value); }
void append_bytes(std::vector<std::byte>& out, Bytes bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}
void pad_to(std::vector<std::byte>& out, std::uint64_t multiple) {
  out.resize(round_up(out.size(), multiple));
}

Digest load_digest(Bytes bytes, std::size_t at) {
  Digest digest;
  std::memcpy(digest.data(), bytes.data() + at, digest.size());
  return digest;
}

void append_record(std::vector<std::byte>& out, const ChunkRecord& record) {
  append_bytes(out, record.digest);
  append_bytes(out, record.base);
  append_u64(out, record.offset_bytes);
  append_u32(out, record.stored_bytes);
  append_u32(out, record.bytes);
  out.push_back(static_cast<std::byte>(record.form));
  out.push_back(static_cast<std::byte>(record.kind));
  out.push_back(static_cast<std::byte>(record.element));
  out.push_back(static_cast<std::byte>(record.depth));
  append_u32(out, record.crc32);
  append_u32(out, static_cast<std::uint32_t>(record.tried));
  append_u32(out, 0);
}

Result<ChunkRecord> parse_record(Bytes bytes) {
  ChunkRecord record;
  record.digest = load_digest(bytes, 0);
  record.base = load_digest(bytes, 32);
  record.offset_bytes = load_le<std::uint64_t>(bytes, 64);
  record.stored_bytes = load_le<std::uint32_t>(bytes, 72);
  record.bytes = load_le<std::uint32_t>(bytes, 76);
  const auto form = load_le<std::uint8_t>(bytes, 80);
  const auto kind = load_le<std::uint8_t>(bytes, 81);
  const auto element = load_le<std::uint8_t>(bytes, 82);
  record.depth = load_le<std::uint8_t>(bytes, 83);
  record.crc32 = load_le<std::uint32_t>(bytes, 84);
  record.tried = load_le<std::uint32_t>(bytes, 88) == 0 ? Tried::kFast : Tried::kAll;
  record.form = static_cast<Form>(form);
  record.kind = static_cast<ChunkKind>(kind);
  record.element = static_cast<Element>(element);
  if (find_codec(record.form) == nullptr)
    return fail(
        Error(ErrorCode::kUnsupported, "a chunk is stored in a form this program does not know")
            .wanted("0 to 4", std::to_string(form))
            .advise("use a newer Kilter"));
  if (kind > static_cast<std::uint8_t>(ChunkKind::kCommit) || element >= kElementCount)
    return fail(ErrorCode::kMalformed, "a chunk is of a kind or element that is none");
  if (auto sound = check_record(record); !sound) return fail(std::move(sound).error());
  return record;
}

std::uint32_t payload_crc32(Bytes payload) {
  return libdeflate_crc32(0, payload.data(), payload.size());
}

std::array<std::byte, kPackHeaderBytes> pack_header() {
  std::vector<std::byte> bytes;
  append_bytes(bytes, as_bytes(kPackMagic));
  append_u32(bytes, kPackVersion);
  append_u32(bytes, 0);
  std::array<std::byte, kPackHeaderBytes> header{};
  std::memcpy(header.data(), bytes.data(), header.size());
  return header;
}

PackEnd pack_end(const std::vector<ChunkRecord>& records, std::uint64_t payload_end_bytes) {
  PackEnd end;
  end.bytes.reserve(records.size() * kChunkRecordBytes + kPackTrailerBytes);
  for (const ChunkRecord& record : records) append_record(end.bytes, record);
  end.name = blake3(end.bytes);
  pad_to(end.bytes, kPayloadAlignBytes);
  append_u64(end.bytes, payload_end_bytes);
  append_u64(end.bytes, records.size());
  append_bytes(end.bytes, end.name);
  append_bytes(end.bytes, as_bytes(kPackEndMagic));
  append_u32(end.bytes, kPackVersion);
  append_u32(end.bytes, 0);
  return end;
}

}  // namespace kilter::store
