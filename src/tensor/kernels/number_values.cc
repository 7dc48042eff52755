#include "tensor/kernels/number_values.h"

#include <array>
#include <cmath>
#include <cstring>

#include "tensor/convert_scalar.h"
#include "tensor/float_format.h"
#include "tensor/kernels/float_values.h"

namespace kilter {
namespace {

template <typename T>
void widen_integers(const std::byte* in, std::size_t count, double* out) {
  for (std::size_t i = 0; i < count; ++i) {
    T value;
    std::memcpy(&value, in + i * sizeof(T), sizeof(T));
    out[i] = static_cast<double>(value);
  }
}

/// All 256 patterns of a dtype of one byte.
std::array<double, 256> byte_values(const FloatFormat& format) {
  std::array<double, 256> out{};
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = decode_float(format, i);
  return out;
}

const std::array<double, 256>& byte_table(DType dtype) {
  static const auto kTables = [] {
    std::array<std::array<double, 256>, kDTypeCount> tables{};
    for (const DTypeRow& row : dtype_table())
      if (row.kind == DTypeKind::kFloat && row.bits == 8)
        tables[static_cast<std::size_t>(row.dtype)] = byte_values(*float_format(row.dtype));
    return tables;
  }();
  return kTables[static_cast<std::size_t>(dtype)];
}

void widen_bytes(DType from, const std::byte* in, std::size_t count, double* out) {
  const std::array<double, 256>& table = byte_table(from);
  for (std::size_t i = 0; i < count; ++i) out[i] = table[std::to_integer<std::size_t>(in[i])];
}

/// Packed and seldom ones.
void widen_slowly(DType from, std::span<const std::byte> in, std::size_t count, double* out) {
  for (std::size_t i = 0; i < count; ++i) {
    const auto value = to_double(from, in, i);
    out[i] = value ? *value : std::nan("");
  }
}

/// The float dtype of a complex dtype's parts.
DType part_dtype(DType dtype) {
  switch (dtype) {
    case DType::kC32:
      return DType::kF16;
    case DType::kBC32:
      return DType::kBF16;
    case DType::kC64:
      return DType::kF32;
    default:
      return DType::kF64;
  }
}

}  // namespace

bool has_number_values(DType dtype) { return dtype_row(dtype).kind != DTypeKind::kVoid; }

unsigned numbers_per_element(DType dtype) {
  return dtype_row(dtype).kind == DTypeKind::kComplex ? 2 : 1;
}

void widen_numbers(DType from, std::span<const std::byte> in, std::size_t count, double* out) {
  const std::byte* const at = in.data();
  if (numbers_per_element(from) == 2) return widen_floats(part_dtype(from), at, 2 * count, out);
  switch (from) {
    case DType::kF64:
    case DType::kF32:
    case DType::kBF16:
    case DType::kF16:
      return widen_floats(from, at, count, out);
    case DType::kU8:
    case DType::kQU8:
      return widen_integers<std::uint8_t>(at, count, out);
    case DType::kI8:
    case DType::kQI8:
      return widen_integers<std::int8_t>(at, count, out);
    case DType::kU16:
      return widen_integers<std::uint16_t>(at, count, out);
    case DType::kI16:
      return widen_integers<std::int16_t>(at, count, out);
    case DType::kU32:
      return widen_integers<std::uint32_t>(at, count, out);
    case DType::kI32:
    case DType::kQI32:
      return widen_integers<std::int32_t>(at, count, out);
    case DType::kU64:
      return widen_integers<std::uint64_t>(at, count, out);
    case DType::kI64:
      return widen_integers<std::int64_t>(at, count, out);
    default:
      break;
  }
  const DTypeRow& row = dtype_row(from);
  if (row.kind == DTypeKind::kFloat && row.bits == 8) return widen_bytes(from, at, count, out);
  widen_slowly(from, in, count, out);
}

double smallest_normal(DType dtype) {
  const FloatFormat* const format = float_format(dtype);
  if (format == nullptr || format->mantissa_bits == 0) return 0;
  return std::ldexp(1.0, 1 - format->bias);
}

}  // namespace kilter
