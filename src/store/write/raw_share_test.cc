// How many chunks stay raw.
#include "store/write/raw_share.h"

#include "store/store_test_support.h"

namespace kilter::store::test {
namespace {

constexpr std::uint64_t kChunk = 2 << 20;
using std::chrono::milliseconds;

TEST(RawShareOfChunks, BeginsWithNoneAndGrowsWhileTheDiskIsIdle) {
  RawShare share;
  EXPECT_FALSE(share.next_is_raw());
  for (int i = 0; i < 100; ++i) share.written(kChunk, std::chrono::microseconds(300));
  int raw = 0;
  for (int i = 0; i < 100; ++i) raw += share.next_is_raw() ? 1 : 0;
  EXPECT_GT(raw, 85);
  EXPECT_LT(raw, 100);  // never all: the disk may become slower
}

TEST(RawShareOfChunks, ShrinksToNoneWhileTheDiskIsWaitedFor) {
  RawShare share;
  for (int i = 0; i < 100; ++i) share.written(kChunk, std::chrono::microseconds(300));
  for (int i = 0; i < 100; ++i) share.written(kChunk, milliseconds(5));
  EXPECT_EQ(share.share(), 0);
}

TEST(RawShareOfChunks, ChangesWhatIsStoredAndNothingElse) {
  const auto files = io::make_memory_file_system();
  std::map<std::string, std::vector<float>> tensors;
  for (unsigned i = 0; i < 60; ++i) tensors[fmt::format("t{:02}", i)] = weights(70'000, i);
  const std::string model = safetensors_of(tensors);
  files->put("model.safetensors", model);
  SaveRequest request;
  request.source = {files.get(), "model.safetensors", {}};
  request.author = "Ada";
  const auto small_store = make_store(*files, "small");
  const auto small = save_tree(*small_store, request);
  STORE_OK(small);
  request.fast = true;
  const auto fast_store = make_store(*files, "fast");
  const auto fast = save_tree(*fast_store, request);
  STORE_OK(fast);
  EXPECT_EQ(fast->content.tree, small->content.tree);
  EXPECT_GE(fast->totals.stored_bytes, small->totals.stored_bytes);
  const auto back = files_of(reopen(*files, "fast"), fast->commit);
  STORE_OK(back);
  EXPECT_EQ(back->at("model.safetensors"), model);
}

}  // namespace
}  // namespace kilter::store::test
