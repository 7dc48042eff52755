// Packs whose digests are right and whose directory is not: whoever can write can compute a digest.
#include "store/keep/check.h"
#include "store/store_test_support.h"

namespace kilter::store::test {
namespace {

/// A pack of one raw chunk "x", or of none, whose directory begins at `offset_bytes`.
class ReadingAPackDirectory : public testing::Test {
 protected:
  Result<std::vector<ChunkRecord>> read(const std::vector<ChunkRecord>& records,
                                        std::uint64_t offset_bytes) {
    const auto header = pack_header();
    std::string pack(as_text(header));
    pack.resize(kPayloadAlignBytes);
    pack += 'x';
    pack.resize(2 * kPayloadAlignBytes);
    pack.resize(offset_bytes);
    const PackEnd end = pack_end(records, offset_bytes);
    pack.append(as_text(end.bytes));
    files_->put("s/" + pack_name(end.name), pack);
    const auto place = make_folder_place(*files_, "s");
    return read_pack_directory(*place, end.name);
  }

  static ChunkRecord record() {
    ChunkRecord record;
    record.digest = blake3(as_bytes("x"));
    record.offset_bytes = kPayloadAlignBytes;
    record.stored_bytes = record.bytes = 1;
    record.crc32 = payload_crc32(as_bytes("x"));
    return record;
  }

  std::unique_ptr<io::MemoryFileSystem> files_ = io::make_memory_file_system();
};

TEST_F(ReadingAPackDirectory, GivesTheRecords) {
  const auto records = read({record()}, 128);
  STORE_OK(records);
  ASSERT_EQ(records->size(), 1U);
  EXPECT_EQ(records->front().digest, record().digest);
  STORE_OK(read({}, 64));
}

TEST_F(ReadingAPackDirectory, RefusesPayloadsBehindIt) {
  ChunkRecord outside = record();
  outside.offset_bytes = 128;
  EXPECT_EQ(read({outside}, 128).error().code, ErrorCode::kCorrupt);
  outside.offset_bytes = ~std::uint64_t{0};
  EXPECT_EQ(read({outside}, 128).error().code, ErrorCode::kCorrupt);
}

// The header and the directory cannot be the same bytes, not even where there are no records.
TEST_F(ReadingAPackDirectory, RefusesOneInsideTheHeader) {
  const auto header = pack_header();
  const PackEnd end = pack_end({}, 0);
  std::string pack(as_text(header));
  pack.resize(kPayloadAlignBytes);
  pack.append(as_text(end.bytes));
  files_->put("s/" + pack_name(end.name), pack);
  const auto place = make_folder_place(*files_, "s");
  EXPECT_EQ(read_pack_directory(*place, end.name).error().code, ErrorCode::kCorrupt);
}

}  // namespace
}  // namespace kilter::store::test
