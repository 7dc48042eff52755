#include "tensor/kernels/byte_swap.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace kilter {
namespace {

std::vector<std::byte> random_bytes(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::byte> out(count);
  for (std::byte& byte : out) byte = static_cast<std::byte>(random());
  return out;
}

TEST(ByteSwap, ReversesEachUnit) {
  std::vector<std::byte> bytes(8);
  for (std::size_t i = 0; i < 8; ++i) bytes[i] = static_cast<std::byte>(i);
  byte_swap(bytes, 4);
  const std::vector<unsigned> expected = {3, 2, 1, 0, 7, 6, 5, 4};
  for (std::size_t i = 0; i < 8; ++i) EXPECT_EQ(std::to_integer<unsigned>(bytes[i]), expected[i]);
}

TEST(ByteSwap, AgreesWithTheReferenceAtEveryLengthAndAlignment) {
  for (const std::uint32_t unit : {1U, 2U, 4U, 8U}) {
    for (std::size_t units = 0; units < 200; ++units) {
      const std::size_t shift = units % 9;
      const auto original = random_bytes(shift + units * unit, static_cast<unsigned>(units));
      const std::span<const std::byte> source = std::span(original).subspan(shift);
      std::vector<std::byte> expected(source.begin(), source.end());
      byte_swap_reference(expected, unit);

      auto in_place = original;
      byte_swap(std::span(in_place).subspan(shift), unit);
      std::vector<std::byte> copied(source.size());
      byte_swap_copy(source, copied, unit);
      ASSERT_TRUE(std::equal(expected.begin(), expected.end(),
                             in_place.begin() + static_cast<std::ptrdiff_t>(shift)))
          << unit << " " << units;
      ASSERT_EQ(copied, expected) << unit << " " << units;
    }
  }
}

TEST(ByteSwap, UndoesItself) {
  const auto original = random_bytes(1 << 16, 7);
  for (const std::uint32_t unit : {2U, 4U, 8U}) {
    auto bytes = original;
    byte_swap(bytes, unit);
    EXPECT_NE(bytes, original);
    byte_swap(bytes, unit);
    EXPECT_EQ(bytes, original);
  }
}

}  // namespace
}  // namespace kilter
