#include "tensor/kernels/number_counts.h"

#include <cmath>
#include <complex>
#include <cstring>

#include "tensor/convert_scalar.h"
#include "tensor/float_format.h"

// Highway compiles this file once for each instruction set and chooses when the program runs.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tensor/kernels/number_counts.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#ifndef KILTER_NUMBER_COUNTS_ONCE_
#define KILTER_NUMBER_COUNTS_ONCE_
namespace kilter {

/// A float format as the three comparisons that sort its patterns, on signed lanes: patterns
/// without their sign bit compare alike signed and unsigned.
struct LaneRule {
  std::uint64_t mask = 0;      // applied to the pattern first
  std::uint64_t zero = 0;      // equal: zero
  std::uint64_t infinite = 0;  // equal: infinite, if has_infinite; above: NaN
  std::uint64_t nan = 0;       // equal: NaN, unless has_infinite
  bool has_zero = true;
  bool has_infinite = false;
};

}  // namespace kilter
#endif  // KILTER_NUMBER_COUNTS_ONCE_

HWY_BEFORE_NAMESPACE();
namespace kilter::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

/// Counts in whole vectors of T; `elements` of the result says how many elements that were.
template <typename T>
NumberCounts count_lanes(const std::byte* bytes, std::uint64_t count, const LaneRule& rule) {
#if HWY_TARGET == HWY_SCALAR
  (void)bytes, (void)count, (void)rule;
  return {};
#else
  using Unsigned = hwy::MakeUnsigned<T>;
  const hn::ScalableTag<T> d;
  const auto set = [d](std::uint64_t value) {
    return hn::Set(d, static_cast<T>(static_cast<Unsigned>(value)));
  };
  const auto mask = set(rule.mask), zero = set(rule.zero), nan = set(rule.nan);
  const auto infinite = set(rule.infinite);
  const std::size_t lanes = hn::Lanes(d);
  const hn::Repartition<std::uint8_t, decltype(d)> d8;

  NumberCounts out;
  for (; count - out.elements >= lanes; out.elements += lanes) {
    const auto* at = reinterpret_cast<const std::uint8_t*>(bytes) + out.elements * sizeof(T);
    const auto v = hn::And(hn::BitCast(d, hn::LoadU(d8, at)), mask);
    out.zero += rule.has_zero ? hn::CountTrue(d, hn::Eq(v, zero)) : 0;
    if (rule.has_infinite) {
      out.infinite += hn::CountTrue(d, hn::Eq(v, infinite));
      out.nan += hn::CountTrue(d, hn::Gt(v, infinite));
    } else {
      out.nan += hn::CountTrue(d, hn::Eq(v, nan));
    }
  }
  return out;
#endif
}

NumberCounts count_vectors(const std::byte* bytes, std::uint64_t count, std::uint32_t lane_bytes,
                           const LaneRule& rule) {
  if (lane_bytes == 1) return count_lanes<std::int8_t>(bytes, count, rule);
  if (lane_bytes == 2) return count_lanes<std::int16_t>(bytes, count, rule);
  if (lane_bytes == 4) return count_lanes<std::int32_t>(bytes, count, rule);
  return count_lanes<std::int64_t>(bytes, count, rule);
}

/// Zeros in whole vectors of bytes that each hold two 4-bit floats.
NumberCounts count_nibbles(const std::byte* bytes, std::uint64_t count) {
  const hn::ScalableTag<std::uint8_t> d;
  const auto low = hn::Set(d, 0x07), high = hn::Set(d, 0x70), zero = hn::Zero(d);
  const std::size_t step = hn::Lanes(d) * 2;
  NumberCounts out;
  for (; count - out.elements >= step; out.elements += step) {
    const auto v = hn::LoadU(d, reinterpret_cast<const std::uint8_t*>(bytes) + out.elements / 2);
    out.zero += hn::CountTrue(d, hn::Eq(hn::And(v, low), zero));
    out.zero += hn::CountTrue(d, hn::Eq(hn::And(v, high), zero));
  }
  return out;
}

}  // namespace kilter::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace kilter {
namespace {

HWY_EXPORT(count_vectors);
HWY_EXPORT(count_nibbles);

LaneRule rule_of(const FloatFormat& format) {
  const std::uint64_t sign = std::uint64_t{1} << (format.bits() - 1);
  LaneRule rule;
  rule.mask = format.specials == FloatSpecials::kNanMinusZero ? sign | (sign - 1) : sign - 1;
  rule.has_infinite = format.specials == FloatSpecials::kIeee;
  if (rule.has_infinite) {
    rule.infinite = ((std::uint64_t{1} << format.exponent_bits) - 1) << format.mantissa_bits;
  }
  rule.nan = format.specials == FloatSpecials::kNanMinusZero ? sign : sign - 1;
  if (format.sign_bits == 0) {
    rule.mask = rule.nan = sign | (sign - 1);
    rule.has_zero = false;
  }
  return rule;
}

void add(NumberCounts& counts, std::complex<double> value) {
  const auto any = [value](auto is) { return is(value.real()) || is(value.imag()); };
  ++counts.elements;
  if (any([](double x) { return std::isnan(x); })) {
    ++counts.nan;
  } else if (any([](double x) { return std::isinf(x); })) {
    ++counts.infinite;
  } else if (value == std::complex<double>(0, 0)) {
    ++counts.zero;
  }
}

/// Zeros among 6-bit floats, four of which share three bytes; whole groups only.
NumberCounts count_sixes(const std::byte* bytes, std::uint64_t count) {
  NumberCounts out;
  for (; count - out.elements >= 4; out.elements += 4, bytes += 3) {
    const auto group = std::to_integer<std::uint32_t>(bytes[0]) |
                       std::to_integer<std::uint32_t>(bytes[1]) << 8U |
                       std::to_integer<std::uint32_t>(bytes[2]) << 16U;
    for (unsigned shift = 0; shift < 24; shift += 6)
      out.zero += (group >> shift & 31U) == 0 ? 1U : 0U;
  }
  return out;
}

/// Parts of complex numbers as unsigned lanes, two by two.
template <typename T>
NumberCounts count_pairs(std::span<const std::byte> bytes, std::uint64_t count,
                         const LaneRule& rule) {
  const auto mask = static_cast<T>(rule.mask), infinite = static_cast<T>(rule.infinite);
  NumberCounts out;
  out.elements = count;
  for (std::uint64_t i = 0; i < count; ++i) {
    T parts[2];
    std::memcpy(parts, bytes.data() + i * sizeof(parts), sizeof(parts));
    const auto real = static_cast<T>(parts[0] & mask), imaginary = static_cast<T>(parts[1] & mask);
    const bool nan = real > infinite || imaginary > infinite;
    out.nan += nan ? 1U : 0U;
    out.infinite += !nan && (real == infinite || imaginary == infinite) ? 1U : 0U;
    out.zero += real == 0 && imaginary == 0 ? 1U : 0U;
  }
  return out;
}

NumberCounts count_complex(const FloatFormat& format, std::span<const std::byte> bytes,
                           std::uint64_t count) {
  const LaneRule rule = rule_of(format);
  if (part_bytes(format) == 2) return count_pairs<std::uint16_t>(bytes, count, rule);
  if (part_bytes(format) == 4) return count_pairs<std::uint32_t>(bytes, count, rule);
  return count_pairs<std::uint64_t>(bytes, count, rule);
}

/// Counts as many elements as go in whole vectors or groups.
NumberCounts count_in_groups(const FloatFormat& format, std::span<const std::byte> bytes,
                             std::uint64_t count) {
  if (format.bits() == 4) return HWY_DYNAMIC_DISPATCH(count_nibbles)(bytes.data(), count);
  if (format.bits() == 6) return count_sixes(bytes.data(), count);
  return HWY_DYNAMIC_DISPATCH(count_vectors)(bytes.data(), count, part_bytes(format),
                                             rule_of(format));
}

}  // namespace

NumberCounts& NumberCounts::operator+=(const NumberCounts& other) {
  elements += other.elements;
  nan += other.nan;
  infinite += other.infinite;
  zero += other.zero;
  return *this;
}

bool has_number_counts(DType dtype) { return float_format(dtype) != nullptr; }

NumberCounts count_numbers_reference(DType dtype, std::span<const std::byte> bytes,
                                     std::uint64_t count) {
  NumberCounts out;
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto value = to_complex(dtype, bytes, i);
    if (!value) return out;  // the caller's promise about `bytes` was broken
    add(out, *value);
  }
  return out;
}

NumberCounts count_numbers(DType dtype, std::span<const std::byte> bytes, std::uint64_t count) {
  const FloatFormat* format = float_format(dtype);
  if (format == nullptr) return {count, 0, 0, 0};
  if (dtype_row(dtype).kind == DTypeKind::kComplex) return count_complex(*format, bytes, count);
  NumberCounts out = count_in_groups(*format, bytes, count);
  const std::uint64_t done_bytes = out.elements * format->bits() / 8;
  out += count_numbers_reference(dtype, bytes.subspan(done_bytes), count - out.elements);
  return out;
}

}  // namespace kilter
#endif  // HWY_ONCE
