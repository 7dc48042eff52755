#include "formats/deepspeed/to_float32.h"

#include <bit>
#include <cmath>

namespace kilter::deepspeed {
namespace {

/// IEEE 754 binary16 to binary32, exactly: every half is a float.
std::uint32_t widen_half(std::uint16_t half) {
  const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000U) << 16U;
  const std::uint32_t exponent = half >> 10U & 0x1fU;
  const std::uint32_t fraction = half & 0x3ffU;
  if (exponent == 0x1f) return sign | 0x7f800000U | fraction << 13U;
  if (exponent != 0) return sign | (exponent + 112U) << 23U | fraction << 13U;
  // Subnormal halves are normal floats: fraction * 2^-24.
  return sign | std::bit_cast<std::uint32_t>(std::ldexp(static_cast<float>(fraction), -24));
}

std::uint32_t element_as_float(DType dtype, Bytes bytes, std::size_t at) {
  if (dtype == DType::kBF16)
    return static_cast<std::uint32_t>(load_le<std::uint16_t>(bytes, at * 2)) << 16U;
  if (dtype == DType::kF16) return widen_half(load_le<std::uint16_t>(bytes, at * 2));
  const auto number = std::bit_cast<double>(load_le<std::uint64_t>(bytes, at * 8));
  return std::bit_cast<std::uint32_t>(static_cast<float>(number));
}

}  // namespace

bool becomes_float32(DType dtype) {
  return dtype == DType::kF16 || dtype == DType::kBF16 || dtype == DType::kF64;
}

std::vector<std::byte> to_float32(DType dtype, Bytes elements) {
  const std::size_t count = elements.size() / (dtype_row(dtype).bits / 8U);
  std::vector<std::byte> out(count * 4);
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t bits = element_as_float(dtype, elements, i);
    for (std::size_t b = 0; b < 4; ++b) out[i * 4 + b] = static_cast<std::byte>(bits >> (8 * b));
  }
  return out;
}

}  // namespace kilter::deepspeed
