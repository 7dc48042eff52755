#include "base/checked.h"
#include "base/try.h"
#include "store/keep/check.h"

namespace kilter::store {
namespace {

tl::unexpected<Error> bad_pack(const std::string& name, const char* message, std::uint64_t offset) {
  return fail(Error(ErrorCode::kCorrupt, message).at_path(name).at_offset(offset));
}

}  // namespace

Result<std::vector<ChunkRecord>> read_pack_directory(Place& place, const Digest& pack) {
  const std::string name = pack_name(pack);
  KILTER_ASSIGN(const auto file, place.open(name));
  const std::uint64_t size = file->bytes();
  if (size < kPackHeaderBytes + kPackTrailerBytes || size > kPackBytesMax)
    return bad_pack(name, "the pack is cut off or no pack", 0);
  std::vector<std::byte> header(kPackHeaderBytes);
  std::vector<std::byte> trailer(kPackTrailerBytes);
  KILTER_TRY(file->read_at(0, header));
  KILTER_TRY(file->read_at(size - kPackTrailerBytes, trailer));
  const auto expected = pack_header();
  if (!std::ranges::equal(header, expected))
    return bad_pack(name, "the pack's header is damaged", 0);
  const auto offset = load_le<std::uint64_t>(trailer, 0);
  const auto count = load_le<std::uint64_t>(trailer, 8);
  if (as_text(Bytes(trailer).subspan(48, 8)) != "KILTPEND" ||
      load_le<std::uint64_t>(trailer, 56) != 1 || count > kPackChunksMax ||
      offset < kPackHeaderBytes ||
      !range_fits(offset, count * kChunkRecordBytes, size - kPackTrailerBytes))
    return bad_pack(name, "the pack's end is damaged", size - kPackTrailerBytes);
  std::vector<std::byte> bytes(static_cast<std::size_t>(count * kChunkRecordBytes));
  KILTER_TRY(file->read_at(offset, bytes));
  if (blake3(bytes) != pack || load_digest(trailer, 16) != pack)
    return bad_pack(name, "the pack's directory does not match its name", offset);
  std::vector<ChunkRecord> records;
  for (std::size_t i = 0; i < count; ++i) {
    KILTER_ASSIGN(const ChunkRecord record,
                  parse_record(Bytes(bytes).subspan(i * kChunkRecordBytes, kChunkRecordBytes)));
    if (!range_fits(record.offset_bytes, record.stored_bytes, offset))
      return bad_pack(name, "a chunk of the pack lies outside its payloads", offset);
    records.push_back(record);
  }
  return records;
}

}  // namespace kilter::store
