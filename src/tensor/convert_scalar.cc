#include "tensor/convert_scalar.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/checked.h"
#include "base/try.h"
#include "tensor/float_format.h"

namespace kilter {
namespace {

/// `width` bits (at most 64) from bit `begin` on, low bits first. The caller has checked that
/// they are there.
std::uint64_t read_bits(std::span<const std::byte> bytes, std::uint64_t begin, unsigned width) {
  std::uint64_t value = 0;
  for (unsigned done = 0; done < width;) {
    const std::uint64_t at = begin + done;
    const auto shift = static_cast<unsigned>(at % 8);
    const unsigned count = std::min(8 - shift, width - done);
    const auto part = std::to_integer<std::uint64_t>(bytes[at / 8]) >> shift;
    value |= (part & ((1U << count) - 1U)) << done;
    done += count;
  }
  return value;
}

Status check_inside(DType dtype, std::span<const std::byte> bytes, std::uint64_t index) {
  const auto end = checked_add<std::uint64_t>(index, 1);
  const auto end_bits =
      end ? checked_mul<std::uint64_t>(*end, dtype_row(dtype).bits) : std::nullopt;
  if (end_bits && (*end_bits + 7) / 8 <= bytes.size()) return ok();
  return fail(Error(ErrorCode::kOutOfRange, "an element lies past the end of the data")
                  .wanted(fmt::format("element {} of {}", index, dtype_name(dtype)),
                          fmt::format("{} bytes", bytes.size())));
}

bool is_signed(DType dtype) {
  const std::string_view name = dtype_name(dtype);
  return name.starts_with('i') || name.starts_with("qi");
}

std::int64_t extend_sign(std::uint64_t pattern, unsigned bits) {
  const unsigned unused = 64 - bits;
  return static_cast<std::int64_t>(pattern << unused) >> unused;
}

std::string number_text(double value) { return fmt::format("{}", value); }

std::string complex_text(std::complex<double> value) {
  const bool minus = std::signbit(value.imag()) && !std::isnan(value.imag());
  return fmt::format("({}{}{}j)", value.real(), minus ? '-' : '+', std::abs(value.imag()));
}

}  // namespace

Result<std::complex<double>> to_complex(DType dtype, std::span<const std::byte> bytes,
                                        std::uint64_t index) {
  KILTER_TRY(check_inside(dtype, bytes, index));
  const DTypeRow& row = dtype_row(dtype);
  const std::uint64_t begin = index * row.bits;
  if (const FloatFormat* format = float_format(dtype)) {
    const double real = decode_float(*format, read_bits(bytes, begin, format->bits()));
    if (row.kind != DTypeKind::kComplex) return std::complex<double>(real, 0);
    const std::uint64_t pattern = read_bits(bytes, begin + format->bits(), format->bits());
    return std::complex<double>(real, decode_float(*format, pattern));
  }
  const std::uint64_t pattern = read_bits(bytes, begin, row.bits);
  if (dtype == DType::kBool) return std::complex<double>(pattern != 0 ? 1.0 : 0.0, 0);
  if (is_signed(dtype)) {
    return std::complex<double>(static_cast<double>(extend_sign(pattern, row.bits)), 0);
  }
  return std::complex<double>(static_cast<double>(pattern), 0);
}

Result<double> to_double(DType dtype, std::span<const std::byte> bytes, std::uint64_t index) {
  KILTER_ASSIGN(const std::complex<double> value, to_complex(dtype, bytes, index));
  return value.real();
}

Result<std::string> scalar_text(DType dtype, std::span<const std::byte> bytes,
                                std::uint64_t index) {
  const DTypeRow& row = dtype_row(dtype);
  KILTER_ASSIGN(const std::complex<double> value, to_complex(dtype, bytes, index));
  if (row.kind == DTypeKind::kComplex) return complex_text(value);
  if (row.kind == DTypeKind::kFloat) return number_text(value.real());
  if (row.kind == DTypeKind::kBool) return std::string(value.real() != 0 ? "true" : "false");
  const std::uint64_t pattern = read_bits(bytes, index * row.bits, row.bits);
  if (is_signed(dtype)) return std::to_string(extend_sign(pattern, row.bits));
  return std::to_string(pattern);
}

}  // namespace kilter
