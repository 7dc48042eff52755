#include "store/write/skeleton_writer.h"

#include <gtest/gtest.h>

#include "store/store_test_support.h"

namespace kilter::store {
namespace {

/// The parts of these bytes, handed over `step` at a time.
std::vector<SkeletonPart> cut(Bytes bytes, std::size_t step) {
  const auto files = io::make_memory_file_system();
  const auto store = test::make_store(*files);
  ChunkWriter writer(*store, {});
  Tree tree;
  tree.files.push_back({"a", bytes.size()});
  SkeletonWriter skeleton(writer, tree);
  skeleton.begin();
  for (std::size_t at = 0; at < bytes.size(); at += step)
    EXPECT_TRUE(skeleton.add(bytes.subspan(at, std::min(step, bytes.size() - at))));
  EXPECT_TRUE(skeleton.end());
  EXPECT_TRUE(writer.finish());
  return tree.skeleton;
}

TEST(SkeletonWriter, CutsByContentHoweverTheBytesCome) {
  const auto values = test::weights(300'000, 3);
  const Bytes bytes = std::as_bytes(std::span(values));
  const auto whole = cut(bytes, bytes.size());
  const auto parts = cut(bytes, 1000);
  ASSERT_GT(whole.size(), 1U);
  ASSERT_EQ(parts.size(), whole.size());
  std::size_t at = 0;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    EXPECT_EQ(parts[i].digest, whole[i].digest);
    EXPECT_EQ(whole[i].digest, blake3(bytes.subspan(at, whole[i].bytes)));
    at += whole[i].bytes;
  }
  EXPECT_EQ(at, bytes.size());
}

TEST(SkeletonWriter, MakesNoPartOfNothing) { EXPECT_TRUE(cut({}, 1).empty()); }

}  // namespace
}  // namespace kilter::store
