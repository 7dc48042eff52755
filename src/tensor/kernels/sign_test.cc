#include "tensor/kernels/sign.h"

#include <gtest/gtest.h>

#include <cmath>
#include <complex>
#include <random>
#include <vector>

#include "tensor/convert_scalar.h"

namespace kilter {
namespace {

std::vector<std::byte> random_elements(DType dtype, std::size_t count) {
  std::mt19937 random(static_cast<unsigned>(count));
  std::vector<std::byte> out((count * dtype_row(dtype).bits + 7) / 8);
  for (std::byte& byte : out) byte = static_cast<std::byte>(random());
  return out;
}

bool same(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  return a == b;
}

bool has_two_zeros(DType dtype) {
  return dtype != DType::kF8E4M3FNUZ && dtype != DType::kF8E5M2FNUZ;
}

TEST(Sign, NegatesEachElementOfEveryFloatAndComplexDType) {
  for (const DTypeRow& row : dtype_table()) {
    if (row.kind != DTypeKind::kFloat && row.kind != DTypeKind::kComplex) continue;
    if (row.dtype == DType::kF8E8M0FNU || row.bits == 6) continue;
    for (const std::size_t count : {0U, 2U, 17U * 2U, 1000U}) {
      const auto before = random_elements(row.dtype, count);
      auto after = before;
      ASSERT_TRUE(negate(row.dtype, after)) << row.name;
      for (std::size_t i = 0; i < count; ++i) {
        const auto a = to_complex(row.dtype, before, i).value();
        const auto b = to_complex(row.dtype, after, i).value();
        ASSERT_TRUE(same(b.real(), -a.real())) << row.name << " " << i;
        if (has_two_zeros(row.dtype) && !std::isnan(a.real())) {
          ASSERT_NE(std::signbit(b.real()), std::signbit(a.real())) << row.name << " " << i;
        }
        if (row.kind == DTypeKind::kComplex) {
          ASSERT_TRUE(same(b.imag(), -a.imag())) << row.name << " " << i;
        }
      }
    }
  }
}

TEST(Sign, ConjugatesTheImaginaryPartsOnly) {
  for (const DType dtype : {DType::kC32, DType::kBC32, DType::kC64, DType::kC128}) {
    const auto before = random_elements(dtype, 101);
    auto after = before;
    ASSERT_TRUE(conjugate(dtype, after));
    for (std::size_t i = 0; i < 101; ++i) {
      const auto a = to_complex(dtype, before, i).value();
      const auto b = to_complex(dtype, after, i).value();
      ASSERT_TRUE(same(a.real(), b.real()) && same(-a.imag(), b.imag())) << dtype_name(dtype) << i;
    }
    ASSERT_TRUE(conjugate(dtype, after));
    EXPECT_EQ(after, before);  // every bit comes back, those of NaNs too
  }
  auto real = random_elements(DType::kF32, 9);
  const auto copy = real;
  ASSERT_TRUE(conjugate(DType::kF32, real));
  EXPECT_EQ(real, copy);
}

TEST(Sign, NegatesIntegersInTwosComplement) {
  for (const DType dtype : {DType::kI8, DType::kI16, DType::kI32, DType::kI64}) {
    const auto before = random_elements(dtype, 50);
    auto after = before;
    ASSERT_TRUE(negate(dtype, after));
    for (std::size_t i = 0; i < 50; ++i) {
      EXPECT_EQ(to_double(dtype, after, i).value(), -to_double(dtype, before, i).value());
    }
  }
  std::vector<std::byte> least = {std::byte{0x80}};
  ASSERT_TRUE(negate(DType::kI8, least));
  EXPECT_EQ(least[0], std::byte{0x80});
}

TEST(Sign, KeepsTheOnlyZeroAndTheOnlyNanOfFnuzFormats) {
  std::vector<std::byte> bytes = {std::byte{0x00}, std::byte{0x80}, std::byte{0x01}};
  ASSERT_TRUE(negate(DType::kF8E4M3FNUZ, bytes));
  EXPECT_EQ(bytes, (std::vector<std::byte>{std::byte{0x00}, std::byte{0x80}, std::byte{0x81}}));
}

TEST(Sign, RefusesWhatHasNoNegativesOrEndsInsideAnElement) {
  std::vector<std::byte> bytes(12);
  for (const DType dtype :
       {DType::kBool, DType::kF8E8M0FNU, DType::kF6E2M3, DType::kQI8, DType::kBits8, DType::kV2}) {
    EXPECT_EQ(negate(dtype, bytes).error().code, ErrorCode::kUnsupported) << dtype_name(dtype);
  }
  EXPECT_EQ(negate(DType::kF64, bytes).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(conjugate(DType::kC64, bytes).error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace kilter
