#include "tensor/kernels/number_counts.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "tensor/convert_scalar.h"

namespace kilter {
namespace {

/// Random patterns in which zeros, ones of every run length and thus NaNs and infinities abound.
std::vector<std::byte> rough_bytes(std::size_t count, unsigned seed) {
  constexpr unsigned kEdges[] = {0x00, 0x80, 0x7f, 0xff, 0x7c, 0xfc, 0xf0, 0x01, 0x78, 0x7e};
  std::mt19937 random(seed);
  std::vector<std::byte> out(count);
  for (std::size_t i = 0; i < count;) {
    const auto value = static_cast<std::byte>(random() % 3 == 0 ? random() : kEdges[random() % 10]);
    const std::size_t run = random() % 2 == 0 ? 1 : random() % 16;
    for (std::size_t j = 0; j < run && i < count; ++j) out[i++] = value;
  }
  return out;
}

TEST(NumberCounts, AgreesWithTheReferenceForEveryDTypeAndLength) {
  std::size_t dtypes = 0;
  for (const DTypeRow& row : dtype_table()) {
    if (!has_number_counts(row.dtype)) continue;
    ++dtypes;
    const auto bytes = rough_bytes(4096 + 7, static_cast<unsigned>(row.dtype) + 1);
    const std::uint64_t most = 4096 * 8 / row.bits;
    for (const std::uint64_t count : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{31},
                                      most / 3, most / 2 + 1, most - 1, most}) {
      for (const std::size_t shift : {0U, 1U, 7U}) {
        const auto piece = std::span<const std::byte>(bytes).subspan(shift);
        ASSERT_EQ(count_numbers(row.dtype, piece, count),
                  count_numbers_reference(row.dtype, piece, count))
            << row.name << " " << count << " " << shift;
      }
    }
  }
  EXPECT_EQ(dtypes, 16U);
}

TEST(NumberCounts, TellsEveryPatternOfTheNarrowFormatsByItsValue) {
  for (const DType dtype : {DType::kF16, DType::kBF16, DType::kF8E4M3FN, DType::kF8E5M2,
                            DType::kF8E4M3FNUZ, DType::kF8E5M2FNUZ, DType::kF8E8M0FNU}) {
    const std::size_t width = dtype_row(dtype).bits / 8;
    const std::size_t patterns = std::size_t{1} << dtype_row(dtype).bits;
    std::vector<std::byte> bytes(patterns * width);
    for (std::size_t i = 0; i < patterns; ++i) std::memcpy(&bytes[i * width], &i, width);
    const NumberCounts counts = count_numbers(dtype, bytes, patterns);
    EXPECT_EQ(counts, count_numbers_reference(dtype, bytes, patterns)) << dtype_name(dtype);
    EXPECT_EQ(counts.elements, patterns);
  }
}

TEST(NumberCounts, CountsWhatTheFormatsSpendOnSpecials) {
  std::vector<std::byte> all(256);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::byte>(i);
  EXPECT_EQ(count_numbers(DType::kF8E4M3FN, all, 256), (NumberCounts{256, 2, 0, 2}));
  EXPECT_EQ(count_numbers(DType::kF8E5M2, all, 256), (NumberCounts{256, 6, 2, 2}));
  EXPECT_EQ(count_numbers(DType::kF8E4M3FNUZ, all, 256), (NumberCounts{256, 1, 0, 1}));
  EXPECT_EQ(count_numbers(DType::kF8E8M0FNU, all, 256), (NumberCounts{256, 1, 0, 0}));
  EXPECT_EQ(count_numbers(DType::kF4E2M1, all, 512), (NumberCounts{512, 0, 0, 64}));
  EXPECT_EQ(count_numbers(DType::kI8, all, 256), (NumberCounts{256, 0, 0, 0}));
}

TEST(NumberCounts, CountsAComplexNumberOnce) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  const float parts[] = {0, -0.0F, nan, infinity, infinity, 1, 1, nan, 0, 2};
  const auto bytes = std::as_bytes(std::span(parts));
  EXPECT_EQ(count_numbers(DType::kC64, bytes, 5), (NumberCounts{5, 2, 1, 1}));
}

TEST(NumberCounts, AddsPieces) {
  const auto bytes = rough_bytes(4000, 5);
  const auto whole = std::span<const std::byte>(bytes);
  NumberCounts sum = count_numbers(DType::kBF16, whole.first(1234), 617);
  sum += count_numbers(DType::kBF16, whole.subspan(1234), 2000 - 617);
  EXPECT_EQ(sum, count_numbers(DType::kBF16, whole, 2000));
}

}  // namespace
}  // namespace kilter
