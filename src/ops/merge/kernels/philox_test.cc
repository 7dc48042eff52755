#include "ops/merge/kernels/philox.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

namespace kilter::ops {
namespace {

/// Known answers of the reference implementation (Random123, kat_vectors).
TEST(Philox, KnownAnswers) {
  std::array<std::uint32_t, 4> out;
  const std::array<std::uint32_t, 4> zeros{};
  philox_block({0, 0}, zeros.data(), out.data());
  EXPECT_EQ(out, (std::array<std::uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  const std::array<std::uint32_t, 4> ones = {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff};
  philox_block({0xffffffff, 0xffffffff}, ones.data(), out.data());
  EXPECT_EQ(out, (std::array<std::uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
}

TEST(Philox, AnyRunOfElementsIsPartOfOneStream) {
  const PhiloxKey key{123, 456};
  constexpr std::uint64_t kFirst = (std::uint64_t{1} << 34) - 1000;  // the counter's words carry
  std::vector<std::uint32_t> plain(4000);
  for (std::size_t i = 0; i < plain.size(); ++i) {
    const std::uint64_t block = (kFirst + i) / 4;
    const std::uint32_t counter[4] = {static_cast<std::uint32_t>(block),
                                      static_cast<std::uint32_t>(block >> 32), 7, 0};
    std::uint32_t words[4];
    philox_block(key, counter, words);
    plain[i] = words[(kFirst + i) % 4];
  }
  for (const std::size_t skip : {0U, 1U, 2U, 3U, 1021U}) {
    for (const std::size_t count : {1U, 5U, 64U, 1024U, 2900U}) {
      std::vector<std::uint32_t> out(count);
      random_bits(key, 7, kFirst + skip, count, out.data());
      EXPECT_TRUE(std::equal(out.begin(), out.end(), plain.begin() + static_cast<long>(skip)))
          << skip << " " << count;
    }
  }
}

}  // namespace
}  // namespace kilter::ops
