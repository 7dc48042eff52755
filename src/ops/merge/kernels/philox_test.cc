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
  constexpr std::uint64_t kFirst = (std::uint64_t{1} << 35) - 1000;  // the counter's words carry
  std::vector<std::uint32_t> plain(4000);
  for (std::size_t i = 0; i < plain.size(); ++i) {
    const std::uint64_t block = (kFirst + i) / 8;
    const std::uint32_t counter[4] = {static_cast<std::uint32_t>(block),
                                      static_cast<std::uint32_t>(block >> 32), 7, 0};
    std::uint32_t words[4];
    philox_block(key, counter, words);
    plain[i] = random_bits_of(words, (kFirst + i) % 8);
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

/// Bits, neighbours and streams: shares that chance would give.
TEST(Philox, BitsAreEvenAndNeighboursIndependent) {
  constexpr std::size_t kCount = 1 << 20;
  std::vector<std::uint32_t> a(kCount), b(kCount);
  random_bits({1, 2}, 0, 0, kCount, a.data());
  random_bits({1, 2}, 1, 0, kCount, b.data());
  for (unsigned bit = 0; bit < 32; ++bit) {
    std::size_t set = 0;
    for (const std::uint32_t bits : a) set += bits >> bit & 1;
    EXPECT_NEAR(static_cast<double>(set) / kCount, 0.5, 0.0025) << bit;  // five deviations
  }
  const auto low = [](std::uint32_t bits) { return bits < 0x40000000U; };
  for (const std::size_t apart : {1U, 2U, 4U, 7U, 8U}) {
    std::size_t both = 0;
    for (std::size_t i = apart; i < kCount; ++i) both += low(a[i]) && low(a[i - apart]) ? 1U : 0U;
    EXPECT_NEAR(static_cast<double>(both) / kCount, 1.0 / 16, 0.0012) << apart;
  }
  std::size_t both = 0;
  for (std::size_t i = 0; i < kCount; ++i) both += low(a[i]) && low(b[i]) ? 1U : 0U;
  EXPECT_NEAR(static_cast<double>(both) / kCount, 1.0 / 16, 0.0012);
}

}  // namespace
}  // namespace kilter::ops
