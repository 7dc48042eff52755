#include "store/chunk_payload.h"

#include "base/checked.h"
#include "base/try.h"
#include "store/codecs/scratch.h"

namespace kilter::store {

Error at_chunk(Error error, const ChunkPlace& place) {
  return std::move(error).at_path(pack_name(place.pack)).at_offset(place.record.offset_bytes);
}

Error wrong_bytes(const ChunkPlace& place) {
  return at_chunk(Error(ErrorCode::kCorrupt, "the chunk's bytes do not match its name")
                      .advise("run `kilter check --data`"),
                  place);
}

namespace {

/// `out` has as many bytes as the payload.
Status read_payload(const io::ReadFile& pack, const ChunkPlace& place, std::span<std::byte> out) {
  const ChunkRecord& record = place.record;
  KILTER_TRY(pack.read_at(record.offset_bytes, out));
  if (record.form != Form::kRaw && payload_crc32(out) != record.crc32)
    return fail(at_chunk(Error(ErrorCode::kCorrupt, "a stored chunk fails its checksum")
                             .advise("run `kilter check --data`"),
                         place));
  return ok();
}

/// Before memory is taken.
Status check_range(const io::ReadFile& pack, const ChunkPlace& place) {
  if (range_fits(place.record.offset_bytes, place.record.stored_bytes, pack.bytes())) return ok();
  return fail(at_chunk(Error(ErrorCode::kCorrupt, "the pack ends before the chunk does"), place));
}

}  // namespace

Result<RawBytes> fetch_payload(const io::ReadFile& pack, const ChunkPlace& place) {
  KILTER_TRY(check_range(pack, place));
  RawBytes payload(place.record.stored_bytes);
  KILTER_TRY(read_payload(pack, place, payload));
  return payload;
}

Result<RawBytes> decode_payload(const ChunkPlace& place, RawBytes payload, const CodecBase* base) {
  const ChunkRecord& record = place.record;
  RawBytes plain;
  if (record.form == Form::kRaw) {
    plain = std::move(payload);
  } else {
    plain.resize(record.bytes);
    const Codec* codec = find_codec(record.form);
    auto decoded = codec->decode(record.element, payload, base, plain);
    if (!decoded) return fail(at_chunk(std::move(decoded).error(), place));
  }
  if (blake3(plain) != record.digest) return fail(wrong_bytes(place));
  return plain;
}

Status decode_into(const io::ReadFile& pack, const ChunkPlace& place, std::span<std::byte> out) {
  const ChunkRecord& record = place.record;
  KILTER_TRY(check_range(pack, place));
  if (record.form == Form::kRaw) {
    if (record.stored_bytes != out.size()) return fail(wrong_bytes(place));
    KILTER_TRY(read_payload(pack, place, out));
  } else {
    Scratch<std::byte> payload(record.stored_bytes);
    const std::span<std::byte> bytes(payload.data(), record.stored_bytes);
    KILTER_TRY(read_payload(pack, place, bytes));
    auto decoded = find_codec(record.form)->decode(record.element, bytes, nullptr, out);
    if (!decoded) return fail(at_chunk(std::move(decoded).error(), place));
  }
  return blake3(out) == record.digest ? ok() : fail(wrong_bytes(place));
}

}  // namespace kilter::store
