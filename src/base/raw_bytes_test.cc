#include "base/raw_bytes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>

namespace kilter {
namespace {

TEST(RawBytes, OfSomeSizeBeginWhereADirectWriteCan) {
  for (const std::size_t size :
       {kRawAlignedFromBytes, kRawAlignedFromBytes + 1, std::size_t{(2 << 20) - 1},
        std::size_t{2} << 20, std::size_t{(5 << 20) + 3}}) {
    const RawBytes bytes(size);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(bytes.data()) % kRawAlignBytes, 0U) << size;
  }
}

TEST(RawBytes, KeepWhatTheyHoldAcrossEveryKindOfMemory) {
  RawBytes bytes;
  const auto value_at = [](std::size_t i) { return static_cast<std::byte>(i * 7 + i / 251); };
  for (std::size_t size = 1; size < (9U << 20); size = size * 3 + 1) {
    const std::size_t before = bytes.size();
    bytes.resize(size);
    for (std::size_t i = before; i < size; ++i) bytes[i] = value_at(i);
  }
  const RawBytes copy = bytes;
  bytes.resize(1000);
  bytes.shrink_to_fit();
  for (std::size_t i = 0; i < copy.size(); ++i) ASSERT_EQ(copy[i], value_at(i)) << i;
  EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), copy.begin()));
}

}  // namespace
}  // namespace kilter
