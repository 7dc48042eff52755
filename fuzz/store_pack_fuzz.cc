// A pack and its directory. Digests are set right first, as no fuzzer finds them: what comes behind
// them must hold against anyone who can compute one. A directory that is read says the same when it
// is written and read again.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "base/checked.h"
#include "io/memory_file_system.h"
#include "store/keep/check.h"

namespace kilter::store {
namespace {

constexpr std::size_t kDigestAt = 48;  // from the end

void check(bool holds) {
  if (!holds) std::abort();
}

/// Makes the directory's digest right if the end says where the directory lies, and returns it.
Digest set_digest(std::string& pack) {
  if (pack.size() < kPackTrailerBytes) return {};
  const std::size_t end = pack.size() - kPackTrailerBytes;
  const auto offset = load_le<std::uint64_t>(as_bytes(pack), end);
  const auto count = load_le<std::uint64_t>(as_bytes(pack), end + 8);
  const auto bytes = checked_mul(count, std::uint64_t{kChunkRecordBytes});
  if (!bytes || !range_fits(offset, *bytes, end)) return {};
  const Digest digest = blake3(as_bytes(pack).subspan(offset, *bytes));
  std::ranges::copy(as_text(digest), pack.end() - kDigestAt);
  return digest;
}

Result<std::vector<ChunkRecord>> read(const std::string& pack, const Digest& name) {
  const auto files = io::make_memory_file_system();
  files->put("s/" + pack_name(name), pack);
  const auto place = make_folder_place(*files, "s");
  return read_pack_directory(*place, name);
}

std::vector<std::byte> bytes_of(const std::vector<ChunkRecord>& records) {
  std::vector<std::byte> out;
  for (const ChunkRecord& record : records) append_record(out, record);
  return out;
}

void write_again(const std::string& pack, const std::vector<ChunkRecord>& records) {
  const std::uint64_t offset =
      load_le<std::uint64_t>(as_bytes(pack), pack.size() - kPackTrailerBytes);
  for (const ChunkRecord& record : records)
    check(range_fits(record.offset_bytes, record.stored_bytes, offset));
  const PackEnd end = pack_end(records, offset);
  const auto again = read(pack.substr(0, offset).append(as_text(end.bytes)), end.name);
  check(again && bytes_of(*again) == bytes_of(records));
}

void try_record(Bytes bytes) {
  const auto record = parse_record(bytes);
  if (!record) return;
  check(record->has_base() == (record->depth > 0) && record->stored_bytes <= record->bytes);
  std::vector<std::byte> written;
  append_record(written, *record);
  // All but "tried" and the zeros comes back as it was.
  check(std::ranges::equal(Bytes(written).first(88), bytes.first(88)));
  check(parse_record(written).has_value());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string pack(reinterpret_cast<const char*>(data), size);
  if (size >= kChunkRecordBytes) try_record(as_bytes(pack).first(kChunkRecordBytes));
  if (const auto records = read(pack, set_digest(pack))) write_again(pack, *records);
  return 0;
}

}  // namespace kilter::store
