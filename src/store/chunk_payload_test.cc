#include "store/chunk_payload.h"

#include <gtest/gtest.h>

#include "base/hash.h"
#include "store/store_test_support.h"

namespace kilter::store {
namespace {

/// A saved tensor of `count` values: its first chunk, and the bytes it must give.
struct Saved {
  std::unique_ptr<io::MemoryFileSystem> files = io::make_memory_file_system();
  std::shared_ptr<Store> store = test::make_store(*files);
  std::vector<float> values;
  ChunkPlace place;

  explicit Saved(std::vector<float> held) : values(std::move(held)) {
    files->put("a/model.safetensors", test::safetensors_of({{"w", values}}));
    const auto outcome = test::save(*store, *files, "a");
    EXPECT_TRUE(outcome.has_value());
    store = test::reopen(*files);
    const auto commit = store->read_commit(outcome->commit);
    const auto tree = store->read_tree(commit->tree);
    place = store->index()->find_all((*tree)->tensors.at(0).chunks.at(0))->at(0);
  }
  Bytes wanted() const { return std::as_bytes(std::span(values)); }
  Status decode(std::span<std::byte> out) const {
    const auto pack = store->place().open(pack_name(place.pack));
    EXPECT_TRUE(pack.has_value());
    return decode_into(**pack, place, out);
  }
};

/// Random bits are left raw; values of a weight-like spread are encoded.
std::vector<float> any_bits(std::size_t count) {
  std::mt19937 random(5);
  std::vector<float> out(count);
  for (float& value : out) {
    const auto bits = static_cast<std::uint32_t>(random());
    std::memcpy(&value, &bits, sizeof bits);
  }
  return out;
}

TEST(ChunkPayload, DecodesStraightIntoMemory) {
  for (const bool raw : {true, false}) {
    Saved saved(raw ? any_bits(100'000) : test::weights(100'000, 1));
    EXPECT_EQ(saved.place.record.form == Form::kRaw, raw);
    RawBytes out(saved.wanted().size());
    ASSERT_TRUE(saved.decode(out));
    EXPECT_TRUE(std::ranges::equal(out, saved.wanted()));
    RawBytes through(out.size());
    ASSERT_TRUE(saved.store->read_chunk_into(saved.place.record.digest, through));
    EXPECT_EQ(through, out);
  }
}

TEST(ChunkPayload, NoticesWhatIsDamagedOrOfAnotherSize) {
  for (const bool raw : {true, false}) {
    Saved saved(raw ? any_bits(100'000) : test::weights(100'000, 1));
    RawBytes shorter(saved.wanted().size() - 4);
    EXPECT_FALSE(saved.store->read_chunk_into(saved.place.record.digest, shorter));
    RawBytes out(saved.wanted().size());
    ChunkPlace other = saved.place;
    other.record.digest[0] ^= std::byte{1};
    std::swap(saved.place, other);
    EXPECT_EQ(saved.decode(out).error().code, ErrorCode::kCorrupt);
    std::swap(saved.place, other);
    saved.place.record.offset_bytes += 64;
    EXPECT_EQ(saved.decode(out).error().code, ErrorCode::kCorrupt);
    saved.place.record.offset_bytes = 1ULL << 40U;
    EXPECT_EQ(saved.decode(out).error().code, ErrorCode::kCorrupt);
  }
}

}  // namespace
}  // namespace kilter::store
