#include "tensor/kernels/float_values.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/try.h"
#include "tensor/float_format.h"
#include "tensor/kernels/narrow_float.h"

// Plain loops, compiled once for each instruction set: the compiler makes vectors of them. No
// product is ever fused with a sum (-ffp-contract=off for this file), so that all sets agree.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tensor/kernels/float_values.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace kilter::HWY_NAMESPACE {

void widen_f32(const std::byte* in, std::size_t count, double* out) {
  for (std::size_t i = 0; i < count; ++i) {
    float value;
    std::memcpy(&value, in + 4 * i, 4);
    out[i] = static_cast<double>(value);
  }
}

void widen_bf16(const std::byte* in, std::size_t count, double* out) {
  for (std::size_t i = 0; i < count; ++i) {
    std::uint16_t bits;
    std::memcpy(&bits, in + 2 * i, 2);
    out[i] = static_cast<double>(std::bit_cast<float>(std::uint32_t{bits} << 16));
  }
}

/// The mantissa moved to its place, the exponent corrected by an exact product: subnormals too.
void widen_f16(const std::byte* in, std::size_t count, double* out) {
  constexpr std::uint32_t kTwoTo112 = (127U + 112U) << 23;
  for (std::size_t i = 0; i < count; ++i) {
    std::uint16_t bits;
    std::memcpy(&bits, in + 2 * i, 2);
    const std::uint32_t magnitude = std::uint32_t{bits} & 0x7FFF;
    const float scaled = std::bit_cast<float>(magnitude << 13) * std::bit_cast<float>(kTwoTo112);
    const std::uint32_t special = 0x7F800000U | magnitude << 13;
    const std::uint32_t pattern =
        magnitude >= 0x7C00 ? special : std::bit_cast<std::uint32_t>(scaled);
    const std::uint32_t sign = (std::uint32_t{bits} & 0x8000) << 16;
    out[i] = static_cast<double>(std::bit_cast<float>(pattern | sign));
  }
}

void narrow_f32(const double* in, std::size_t count, std::byte* out) {
  for (std::size_t i = 0; i < count; ++i) {
    const auto bits = std::bit_cast<std::uint32_t>(static_cast<float>(in[i]));
    const std::uint32_t nan = (bits & 0x80000000) | 0x7FC00000;
    const std::uint32_t pattern = (bits & 0x7FFFFFFF) > 0x7F800000 ? nan : bits;
    std::memcpy(out + 4 * i, &pattern, 4);
  }
}

/// Rounded to odd: what is inexact gets a last bit of 1, so that rounding it again to fewer bits
/// gives what rounding `in` once would have given. NaN stays NaN.
void round_to_odd(const double* in, std::size_t count, std::uint32_t* out) {
  for (std::size_t i = 0; i < count; ++i) {
    const float nearest = static_cast<float>(in[i]);
    const auto back = static_cast<double>(nearest);
    const auto bits = std::bit_cast<std::uint32_t>(nearest);
    const std::uint32_t above = std::fabs(back) > std::fabs(in[i]) ? 1 : 0;
    const std::uint32_t inexact = back != in[i] ? 1 : 0;
    out[i] = (bits - above) | inexact;
  }
}

void odd_to_bf16(const std::uint32_t* in, std::size_t count, std::byte* out) {
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t bits = in[i];
    const std::uint32_t rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
    const std::uint32_t nan = (bits >> 16 & 0x8000) | 0x7FC0;
    const auto pattern =
        static_cast<std::uint16_t>((bits & 0x7FFFFFFF) > 0x7F800000 ? nan : rounded);
    std::memcpy(out + 2 * i, &pattern, 2);
  }
}

/// Normal numbers by an integer sum; subnormal ones by a float sum that moves the last bit kept to
/// the end of the mantissa, where the hardware rounds.
void odd_to_f16(const std::uint32_t* in, std::size_t count, std::byte* out) {
  constexpr std::uint32_t kBias = 112U << 23, kSmallestNormal = 113U << 23;
  constexpr std::uint32_t kOverflow = 143U << 23, kMover = 126U << 23;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t magnitude = in[i] & 0x7FFFFFFF;
    const std::uint32_t normal = (magnitude - kBias + 0xFFF + (magnitude >> 13 & 1)) >> 13;
    const float moved = std::bit_cast<float>(magnitude) + std::bit_cast<float>(kMover);
    const std::uint32_t subnormal = std::bit_cast<std::uint32_t>(moved) - kMover;
    std::uint32_t pattern = magnitude < kSmallestNormal ? subnormal : normal;
    pattern = magnitude >= kOverflow ? 0x7C00U : pattern;
    pattern = magnitude > 0x7F800000 ? 0x7E00U : pattern;
    const auto bits = static_cast<std::uint16_t>(pattern | (in[i] >> 16 & 0x8000));
    std::memcpy(out + 2 * i, &bits, 2);
  }
}

void add_weighted_lanes(double weight, const double* values, std::size_t count, double* sum) {
  for (std::size_t i = 0; i < count; ++i) {
    const double product = weight * values[i];
    sum[i] = sum[i] + product;
  }
}

void scale_lanes(double weight, double* values, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) values[i] = weight * values[i];
}

void count_beyond(double largest, const double* values, std::size_t count, std::uint64_t* too_large,
                  std::uint64_t* not_finite) {
  constexpr double kMax = std::numeric_limits<double>::max();
  std::uint64_t beyond = 0, finite = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const double magnitude = std::fabs(values[i]);
    const auto is_finite = static_cast<std::uint64_t>(magnitude <= kMax);
    beyond += static_cast<std::uint64_t>(magnitude > largest) & is_finite;
    finite += is_finite;
  }
  *too_large = beyond;
  *not_finite = count - finite;
}

}  // namespace kilter::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace kilter {
namespace {

HWY_EXPORT(widen_f32);
HWY_EXPORT(widen_bf16);
HWY_EXPORT(widen_f16);
HWY_EXPORT(narrow_f32);
HWY_EXPORT(round_to_odd);
HWY_EXPORT(odd_to_bf16);
HWY_EXPORT(odd_to_f16);
HWY_EXPORT(add_weighted_lanes);
HWY_EXPORT(scale_lanes);
HWY_EXPORT(count_beyond);

/// As torch's saturating casts: the largest number, not NaN.
constexpr NarrowFloat kSaturatedF8E4M3{4, 3, 0x7F, 0x7E, 0x7F};
constexpr std::size_t kBlock = 1024;  // elements; stays in the first cache

std::uint32_t odd_pattern(double value) {
  const float nearest = static_cast<float>(value);
  const auto bits = std::bit_cast<std::uint32_t>(nearest);
  const auto back = static_cast<double>(nearest);
  if (back == value) return bits;
  return (bits - (std::fabs(back) > std::fabs(value) ? 1U : 0U)) | 1U;
}

void narrow_f64(const double* in, std::size_t count, std::byte* out) {
  for (std::size_t i = 0; i < count; ++i) {
    const double quiet =
        std::isnan(in[i]) ? std::copysign(std::numeric_limits<double>::quiet_NaN(), in[i]) : in[i];
    std::memcpy(out + 8 * i, &quiet, 8);
  }
}

void narrow_by_table(const NarrowFloat& to, std::size_t width, const double* in, std::size_t count,
                     std::byte* out) {
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t pattern = narrow_float(to, odd_pattern(in[i]));
    std::memcpy(out + width * i, &pattern, width);
  }
}

/// Above this, a magnitude rounds to something that is no number.
double largest_that_fits(DType to) {
  switch (to) {
    case DType::kF32:  // half a unit above the largest; the tie itself goes up
      return std::nextafter(0x1.ffffffp127, 0.0);
    case DType::kBF16:
      return std::nextafter(0x1.ffp127, 0.0);
    case DType::kF16:
      return std::nextafter(65520.0, 0.0);
    case DType::kF8E5M2:
      return std::nextafter(61440.0, 0.0);
    case DType::kF8E4M3FN:
      return 464.0;  // a tie that goes down, to 448
    default:
      return std::numeric_limits<double>::max();
  }
}

}  // namespace

bool has_float_values(DType dtype) {
  return dtype == DType::kF64 || dtype == DType::kF32 || dtype == DType::kBF16 ||
         dtype == DType::kF16 || dtype == DType::kF8E4M3FN || dtype == DType::kF8E5M2;
}

void widen_floats(DType from, const std::byte* in, std::size_t count, double* out) {
  switch (from) {
    case DType::kF64:
      std::memcpy(out, in, 8 * count);
      return;
    case DType::kF32:
      return HWY_DYNAMIC_DISPATCH(widen_f32)(in, count, out);
    case DType::kBF16:
      return HWY_DYNAMIC_DISPATCH(widen_bf16)(in, count, out);
    case DType::kF16:
      return HWY_DYNAMIC_DISPATCH(widen_f16)(in, count, out);
    default: {
      const FloatFormat* const format = float_format(from);
      for (std::size_t i = 0; i < count; ++i)
        out[i] = decode_float(*format, std::to_integer<std::uint64_t>(in[i]));
    }
  }
}

void narrow_floats(DType to, const double* in, std::size_t count, std::byte* out) {
  if (to == DType::kF64) return narrow_f64(in, count, out);
  if (to == DType::kF32) return HWY_DYNAMIC_DISPATCH(narrow_f32)(in, count, out);
  if (to == DType::kF8E4M3FN) return narrow_by_table(kSaturatedF8E4M3, 1, in, count, out);
  if (to == DType::kF8E5M2) return narrow_by_table(kNarrowF8E5M2, 1, in, count, out);
  std::uint32_t odd[kBlock];
  for (std::size_t at = 0; at < count; at += kBlock) {
    const std::size_t some = std::min(kBlock, count - at);
    HWY_DYNAMIC_DISPATCH(round_to_odd)(in + at, some, odd);
    if (to == DType::kBF16)
      HWY_DYNAMIC_DISPATCH(odd_to_bf16)(odd, some, out + 2 * at);
    else
      HWY_DYNAMIC_DISPATCH(odd_to_f16)(odd, some, out + 2 * at);
  }
}

RangeCounts count_range(DType to, std::span<const double> values) {
  RangeCounts counts;
  HWY_DYNAMIC_DISPATCH(count_beyond)
  (largest_that_fits(to), values.data(), values.size(), &counts.too_large, &counts.not_finite);
  return counts;
}

void narrow_floats_reference(DType to, const double* in, std::size_t count, std::byte* out) {
  switch (to) {
    case DType::kF64:
      return narrow_f64(in, count, out);
    case DType::kBF16:
      return narrow_by_table(kNarrowBf16, 2, in, count, out);
    case DType::kF16:
      return narrow_by_table(kNarrowF16, 2, in, count, out);
    case DType::kF8E4M3FN:
      return narrow_by_table(kSaturatedF8E4M3, 1, in, count, out);
    case DType::kF8E5M2:
      return narrow_by_table(kNarrowF8E5M2, 1, in, count, out);
    default:
      for (std::size_t i = 0; i < count; ++i) {
        auto bits = std::bit_cast<std::uint32_t>(static_cast<float>(in[i]));
        if ((bits & 0x7FFFFFFF) > 0x7F800000) bits = (bits & 0x80000000) | 0x7FC00000;
        std::memcpy(out + 4 * i, &bits, 4);
      }
  }
}

void scale(double weight, std::span<double> values) {
  if (weight != 1) HWY_DYNAMIC_DISPATCH(scale_lanes)(weight, values.data(), values.size());
}

void add_weighted(double weight, std::span<const double> values, double* sum) {
  HWY_DYNAMIC_DISPATCH(add_weighted_lanes)(weight, values.data(), values.size(), sum);
}

}  // namespace kilter
#endif  // HWY_ONCE
