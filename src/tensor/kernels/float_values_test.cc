#include "tensor/kernels/float_values.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "tensor/float_format.h"

namespace kilter {
namespace {

constexpr DType kFloats[] = {DType::kF64, DType::kF32,      DType::kBF16,
                             DType::kF16, DType::kF8E4M3FN, DType::kF8E5M2};
constexpr DType kSmall[] = {DType::kBF16, DType::kF16, DType::kF8E4M3FN, DType::kF8E5M2};

std::size_t width_of(DType dtype) { return dtype_row(dtype).bits / 8; }

std::uint64_t pattern_at(DType dtype, const std::vector<std::byte>& bytes, std::size_t i) {
  std::uint64_t out = 0;
  std::memcpy(&out, bytes.data() + i * width_of(dtype), width_of(dtype));
  return out;
}

/// Every number of a small format, what lies halfway between neighbours, and what lies a hair
/// beside: where rounding twice would show.
std::vector<double> hard_values(DType dtype) {
  const FloatFormat& format = *float_format(dtype);
  std::vector<double> out;
  for (std::uint64_t p = 0; p < (std::uint64_t{1} << (format.bits() - 1)); ++p) {
    const double here = decode_float(format, p), next = decode_float(format, p + 1);
    const double half = here / 2 + next / 2;
    if (!std::isfinite(here)) continue;
    for (const double value : {here, half, std::nextafter(half, 0.0),
                               std::nextafter(half, HUGE_VAL), half + half * 1e-12}) {
      out.push_back(value);
      out.push_back(-value);
    }
  }
  return out;
}

std::vector<double> rough_values(std::size_t count) {
  std::mt19937_64 random(11);
  std::vector<double> out(count);
  for (double& value : out) {
    // Exponents of every format, and mantissas with long runs of equal bits.
    const int exponent = static_cast<int>(random() % 320) - 160;
    std::uint64_t mantissa = random() & ((1ULL << 52) - 1);
    if (random() % 2 == 0) mantissa &= ~0ULL << (random() % 52);
    value = std::ldexp(1.0 + std::ldexp(static_cast<double>(mantissa), -52), exponent);
    if (random() % 2 == 0) value = -value;
  }
  const double inf = std::numeric_limits<double>::infinity(), nan = std::nan("");
  for (
      const double edge :
      {0.0,        -0.0,       inf,    -inf,     nan,      -nan,     65504.0,        65519.999,
       65520.0,    448.0,      464.0,  464.1,    57344.0,  61440.0,  0x1.fffffep127, 0x1.ffffffp127,
       0x1.fep127, 0x1.ffp127, 5e-324, 0x1p-149, 0x1p-150, 0x1.8p-25})
    out.push_back(edge);
  return out;
}

TEST(FloatValues, WidenEveryPatternExactly) {
  for (const DType dtype : kSmall) {
    const std::size_t patterns = std::size_t{1} << dtype_row(dtype).bits, width = width_of(dtype);
    std::vector<std::byte> bytes(patterns * width);
    for (std::size_t p = 0; p < patterns; ++p) std::memcpy(&bytes[p * width], &p, width);
    std::vector<double> values(patterns);
    widen_floats(dtype, bytes.data(), patterns, values.data());
    for (std::size_t p = 0; p < patterns; ++p) {
      const double wanted = decode_float(*float_format(dtype), p);
      if (std::isnan(wanted))
        ASSERT_TRUE(std::isnan(values[p])) << dtype_name(dtype) << " " << p;
      else
        ASSERT_EQ(std::bit_cast<std::uint64_t>(values[p]), std::bit_cast<std::uint64_t>(wanted))
            << dtype_name(dtype) << " " << p;
    }
  }
}

TEST(FloatValues, NarrowToTheNearestTiesToEven) {
  for (const DType dtype : kSmall) {
    const FloatFormat& format = *float_format(dtype);
    const std::vector<double> values = hard_values(dtype);
    std::vector<std::byte> bytes(values.size() * width_of(dtype));
    narrow_floats(dtype, values.data(), values.size(), bytes.data());
    const std::uint64_t magnitude_mask = (std::uint64_t{1} << (format.bits() - 1)) - 1;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const std::uint64_t p = pattern_at(dtype, bytes, i) & magnitude_mask;
      const double got = decode_float(format, p), wanted = std::fabs(values[i]);
      if (!std::isfinite(got)) continue;  // the next test's
      const double error = std::fabs(got - wanted);
      for (const std::uint64_t beside : {p - 1, p + 1}) {
        const double other = p == 0 && beside > p + 1 ? -1 : decode_float(format, beside);
        if (!std::isfinite(other)) continue;
        const double its = std::fabs(other - wanted);
        ASSERT_TRUE(error < its || (error == its && p % 2 == 0))
            << dtype_name(dtype) << " " << values[i] << " became " << got << ", not " << other;
      }
      ASSERT_EQ((pattern_at(dtype, bytes, i) & ~magnitude_mask) != 0, std::signbit(values[i]));
    }
  }
}

TEST(FloatValues, AgreeWithTheReferenceForEveryDTypeAndLength) {
  const std::vector<double> values = rough_values(5000);
  for (const DType dtype : kFloats) {
    const std::size_t width = width_of(dtype);
    for (const std::size_t count :
         {std::size_t{0}, std::size_t{1}, std::size_t{31}, std::size_t{1025}, values.size()}) {
      for (const std::size_t shift : {0U, 1U, 3U}) {
        std::vector<std::byte> got(count * width + shift), wanted(count * width);
        const double* const from = values.data() + values.size() - count;
        narrow_floats(dtype, from, count, got.data() + shift);
        narrow_floats_reference(dtype, from, count, wanted.data());
        ASSERT_TRUE(std::ranges::equal(wanted, std::span(got).subspan(shift)))
            << dtype_name(dtype) << " " << count;
      }
    }
  }
}

TEST(FloatValues, CountWhatDoesNotFit) {
  const std::vector<double> values = rough_values(20000);
  for (const DType dtype : kFloats) {
    const std::size_t width = width_of(dtype);
    std::vector<std::byte> bytes(values.size() * width);
    narrow_floats(dtype, values.data(), values.size(), bytes.data());
    std::vector<double> back(values.size());
    widen_floats(dtype, bytes.data(), values.size(), back.data());
    RangeCounts wanted;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const bool saturated = dtype == DType::kF8E4M3FN && std::fabs(values[i]) > 464;
      if (!std::isfinite(values[i]))
        ++wanted.not_finite;
      else if (saturated || !std::isfinite(back[i]))
        ++wanted.too_large;
    }
    EXPECT_EQ(count_range(dtype, values), wanted) << dtype_name(dtype);
  }
  EXPECT_EQ(count_range(DType::kF16, std::vector<double>{65520, -65519, -65520, HUGE_VAL}),
            (RangeCounts{2, 1}));
}

TEST(FloatValues, SumWithoutFusing) {
  // Fused, the first would leave the product's rounding error.
  std::vector<double> sum = {-(0.1 * 0.1), 1, 2}, values = {0.1, 3, std::nan("")};
  add_weighted(0.1, values, sum.data());
  EXPECT_EQ(sum[0], 0.0);
  EXPECT_EQ(sum[1], 1 + 0.1 * 3);
  EXPECT_TRUE(std::isnan(sum[2]));
}

}  // namespace
}  // namespace kilter
