#include "tensor/kernels/number_values.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "tensor/convert_scalar.h"
#include "tensor/float_format.h"

namespace kilter {
namespace {

TEST(NumberValues, AreThoseOfOneElementAtATime) {
  std::mt19937_64 random(5);
  for (const DTypeRow& row : dtype_table()) {
    if (!has_number_values(row.dtype)) continue;
    constexpr std::size_t kCount = 96;  // whole bytes for dtypes of any width
    std::vector<std::byte> bytes(kCount * row.bits / 8);
    for (std::byte& one : bytes) one = static_cast<std::byte>(random());
    if (row.kind == DTypeKind::kBool)
      for (std::byte& one : bytes) one &= std::byte{1};
    const unsigned parts = numbers_per_element(row.dtype);
    std::vector<double> got(kCount * parts);
    widen_numbers(row.dtype, bytes, kCount, got.data());
    for (std::size_t i = 0; i < kCount; ++i) {
      const auto wanted = to_complex(row.dtype, bytes, i);
      ASSERT_TRUE(wanted) << row.name;
      const double both[] = {wanted->real(), wanted->imag()};
      for (unsigned part = 0; part < parts; ++part) {
        const double value = got[i * parts + part];
        EXPECT_TRUE(value == both[part] || (std::isnan(value) && std::isnan(both[part])))
            << row.name << " " << i << ": " << value << " is not " << both[part];
      }
    }
  }
}

TEST(NumberValues, SmallestNormalNumbers) {
  EXPECT_EQ(smallest_normal(DType::kF32), std::numeric_limits<float>::min());
  EXPECT_EQ(smallest_normal(DType::kF64), std::numeric_limits<double>::min());
  EXPECT_EQ(smallest_normal(DType::kBF16), 0x1p-126);
  EXPECT_EQ(smallest_normal(DType::kF16), 0x1p-14);
  EXPECT_EQ(smallest_normal(DType::kF8E4M3FN), 0x1p-6);
  EXPECT_EQ(smallest_normal(DType::kF8E8M0FNU), 0);
  EXPECT_EQ(smallest_normal(DType::kI32), 0);
}

}  // namespace
}  // namespace kilter
