#include "tensor/convert_scalar.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

namespace kilter {
namespace {

using Complex = std::complex<double>;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::vector<std::byte> le_bytes(std::uint64_t pattern, std::size_t count = 8) {
  std::vector<std::byte> out(count);
  for (std::size_t i = 0; i < count && i < 8; ++i) {
    out[i] = static_cast<std::byte>(pattern >> (8 * i));
  }
  return out;
}

double value(DType dtype, std::uint64_t pattern) {
  return to_double(dtype, le_bytes(pattern)).value();
}
std::string text(DType dtype, std::uint64_t pattern) {
  return scalar_text(dtype, le_bytes(pattern)).value();
}

TEST(ConvertScalar, ReadsHalfPrecision) {
  EXPECT_EQ(value(DType::kF16, 0x3c00), 1.0);
  EXPECT_EQ(value(DType::kF16, 0xc000), -2.0);
  EXPECT_EQ(value(DType::kF16, 0x7bff), 65504.0);
  EXPECT_EQ(value(DType::kF16, 0x0001), std::ldexp(1.0, -24));
  EXPECT_EQ(value(DType::kF16, 0x03ff), 1023 * std::ldexp(1.0, -24));
  EXPECT_EQ(value(DType::kF16, 0x0400), std::ldexp(1.0, -14));
  EXPECT_EQ(value(DType::kF16, 0x7c00), kInfinity);
  EXPECT_EQ(value(DType::kF16, 0xfc00), -kInfinity);
  EXPECT_TRUE(std::isnan(value(DType::kF16, 0x7e00)));
  EXPECT_TRUE(std::signbit(value(DType::kF16, 0x8000)));
}

TEST(ConvertScalar, ReadsBrainFloatsAsTheUpperHalfOfSingles) {
  for (std::uint32_t pattern = 0; pattern < 0x10000; ++pattern) {
    const auto wide = static_cast<double>(std::bit_cast<float>(pattern << 16U));
    const double found = value(DType::kBF16, pattern);
    if (std::isnan(wide)) {
      ASSERT_TRUE(std::isnan(found)) << pattern;
    } else {
      ASSERT_EQ(found, wide) << pattern;
      ASSERT_EQ(std::signbit(found), std::signbit(wide)) << pattern;
    }
  }
}

TEST(ConvertScalar, ReadsSinglesAndDoublesExactly) {
  for (const float number : {0.1F, -0.0F, 1e-45F, 3.4028235e38F, 7.5F}) {
    EXPECT_EQ(value(DType::kF32, std::bit_cast<std::uint32_t>(number)),
              static_cast<double>(number));
  }
  for (const double number : {0.1, 5e-324, 1.7976931348623157e308, -2.5}) {
    EXPECT_EQ(value(DType::kF64, std::bit_cast<std::uint64_t>(number)), number);
  }
  EXPECT_EQ(value(DType::kF32, 0xff800000), -kInfinity);
  EXPECT_TRUE(std::isnan(value(DType::kF32, 0x7f800001)));
}

TEST(ConvertScalar, ReadsTheEdgesOfTheFp8Families) {
  EXPECT_EQ(value(DType::kF8E4M3FN, 0x7e), 448.0);
  EXPECT_EQ(value(DType::kF8E4M3FN, 0x78), 256.0);  // all-ones exponent is a number here
  EXPECT_EQ(value(DType::kF8E4M3FN, 0x01), std::ldexp(1.0, -9));
  EXPECT_EQ(value(DType::kF8E4M3FN, 0xb8), -1.0);
  EXPECT_TRUE(std::isnan(value(DType::kF8E4M3FN, 0x7f)));
  EXPECT_TRUE(std::isnan(value(DType::kF8E4M3FN, 0xff)));

  EXPECT_EQ(value(DType::kF8E5M2, 0x7b), 57344.0);
  EXPECT_EQ(value(DType::kF8E5M2, 0x01), std::ldexp(1.0, -16));
  EXPECT_EQ(value(DType::kF8E5M2, 0x7c), kInfinity);
  EXPECT_EQ(value(DType::kF8E5M2, 0xfc), -kInfinity);
  EXPECT_TRUE(std::isnan(value(DType::kF8E5M2, 0x7d)));

  EXPECT_EQ(value(DType::kF8E4M3FNUZ, 0x7f), 240.0);
  EXPECT_EQ(value(DType::kF8E4M3FNUZ, 0x01), std::ldexp(1.0, -10));
  EXPECT_EQ(value(DType::kF8E4M3FNUZ, 0x00), 0.0);
  EXPECT_TRUE(std::isnan(value(DType::kF8E4M3FNUZ, 0x80)));

  EXPECT_EQ(value(DType::kF8E5M2FNUZ, 0x7f), 57344.0);
  EXPECT_EQ(value(DType::kF8E5M2FNUZ, 0x01), std::ldexp(1.0, -17));
  EXPECT_TRUE(std::isnan(value(DType::kF8E5M2FNUZ, 0x80)));

  EXPECT_EQ(value(DType::kF8E8M0FNU, 0x00), std::ldexp(1.0, -127));
  EXPECT_EQ(value(DType::kF8E8M0FNU, 0x7f), 1.0);
  EXPECT_EQ(value(DType::kF8E8M0FNU, 0xfe), std::ldexp(1.0, 127));
  EXPECT_TRUE(std::isnan(value(DType::kF8E8M0FNU, 0xff)));
}

TEST(ConvertScalar, ReadsPackedFloats) {
  const double fp4[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6};
  std::vector<std::byte> packed;  // element i is pattern i, low nibble first
  for (unsigned i = 0; i < 16; i += 2) packed.push_back(static_cast<std::byte>(i | (i + 1) << 4U));
  for (std::uint64_t i = 0; i < 16; ++i) {
    EXPECT_EQ(to_double(DType::kF4E2M1, packed, i).value(), fp4[i]) << i;
  }
  EXPECT_EQ(to_double(DType::kF4E2M1, packed, 16).error().code, ErrorCode::kOutOfRange);

  EXPECT_EQ(value(DType::kF6E2M3, 0x1f), 7.5);
  EXPECT_EQ(value(DType::kF6E2M3, 0x01), 0.125);
  EXPECT_EQ(value(DType::kF6E3M2, 0x1f), 28.0);
  EXPECT_EQ(value(DType::kF6E3M2, 0x01), 0.0625);
  // Elements 1, 2, 3 and 4 of 24 bits: 0x3f, 0x01, 0x20, 0x1f from the low end.
  const auto six = le_bytes(0x3fULL | 0x01ULL << 6U | 0x20ULL << 12U | 0x1fULL << 18U, 3);
  EXPECT_EQ(to_double(DType::kF6E3M2, six, 0).value(), -28.0);
  EXPECT_EQ(to_double(DType::kF6E3M2, six, 1).value(), 0.0625);
  EXPECT_EQ(to_double(DType::kF6E3M2, six, 2).value(), -0.0);
  EXPECT_EQ(to_double(DType::kF6E3M2, six, 3).value(), 28.0);
  EXPECT_FALSE(to_double(DType::kF6E3M2, six, 4));
}

TEST(ConvertScalar, ReadsIntegersWithTheirSigns) {
  EXPECT_EQ(value(DType::kI8, 0x80), -128.0);
  EXPECT_EQ(value(DType::kU8, 0x80), 128.0);
  EXPECT_EQ(value(DType::kI16, 0xffff), -1.0);
  EXPECT_EQ(value(DType::kQI32, 0xfffffffe), -2.0);
  EXPECT_EQ(value(DType::kBool, 1), 1.0);
  EXPECT_EQ(value(DType::kBool, 7), 1.0);
  EXPECT_EQ(value(DType::kQU4x2, 0xa7), 7.0);
  EXPECT_EQ(to_double(DType::kQU2x4, le_bytes(0xe4, 1), 3).value(), 3.0);
  EXPECT_EQ(text(DType::kU64, ~0ULL), "18446744073709551615");
  EXPECT_EQ(text(DType::kI64, 1ULL << 63U), "-9223372036854775808");
}

TEST(ConvertScalar, ReadsBothPartsOfComplexNumbers) {
  const auto half = le_bytes(0xc0003c00, 4);
  EXPECT_EQ(to_complex(DType::kC32, half).value(), Complex(1, -2));
  EXPECT_EQ(to_double(DType::kC32, half).value(), 1.0);
  EXPECT_EQ(to_complex(DType::kBC32, le_bytes(0xc0003f80, 4)).value(), Complex(1, -2));
  std::vector<std::byte> wide(32);
  const double parts[] = {0, 0, 0.5, -0.25};
  std::memcpy(wide.data(), parts, sizeof(parts));
  EXPECT_EQ(to_complex(DType::kC128, wide, 1).value(), Complex(0.5, -0.25));
  EXPECT_EQ(scalar_text(DType::kC128, wide, 1).value(), "(0.5-0.25j)");
}

TEST(ConvertScalar, WritesShortText) {
  EXPECT_EQ(text(DType::kF64, std::bit_cast<std::uint64_t>(0.1)), "0.1");
  EXPECT_EQ(text(DType::kF16, 0x7c00), "inf");
  EXPECT_EQ(text(DType::kF16, 0x7e00), "nan");
  EXPECT_EQ(text(DType::kBF16, 0x3f00), "0.5");
  EXPECT_EQ(text(DType::kBool, 1), "true");
  EXPECT_EQ(text(DType::kBool, 0), "false");
}

TEST(ConvertScalar, RefusesElementsPastTheEndForEveryDType) {
  for (const DTypeRow& row : dtype_table()) {
    const std::vector<std::byte> bytes(16);
    const std::uint64_t count = 16 * 8 / row.bits;
    EXPECT_TRUE(to_double(row.dtype, bytes, count - 1)) << row.name;
    EXPECT_TRUE(scalar_text(row.dtype, bytes, count - 1)) << row.name;
    EXPECT_FALSE(to_double(row.dtype, bytes, count)) << row.name;
    EXPECT_FALSE(to_double(row.dtype, bytes, ~0ULL)) << row.name;
    EXPECT_FALSE(scalar_text(row.dtype, bytes, ~0ULL / row.bits)) << row.name;
    EXPECT_FALSE(to_double(row.dtype, {}, 0)) << row.name;
  }
}

}  // namespace
}  // namespace kilter
