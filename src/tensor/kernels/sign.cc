#include "tensor/kernels/sign.h"

#include <array>
#include <cstdint>
#include <cstring>

#include "base/try.h"
#include "tensor/float_format.h"

namespace kilter {
namespace {

/// Sixteen bytes hold a whole number of elements of every dtype of a byte or more.
using Pattern = std::array<std::byte, 16>;

// Two words at a time: the compiler makes vectors of it, and memory is slower than either.
void flip_bits(std::span<std::byte> bytes, const Pattern& pattern) {
  std::array<std::uint64_t, 2> flip;
  std::memcpy(flip.data(), pattern.data(), pattern.size());
  std::size_t i = 0;
  for (; i + 16 <= bytes.size(); i += 16) {
    std::array<std::uint64_t, 2> words;
    std::memcpy(words.data(), bytes.data() + i, 16);
    words[0] ^= flip[0];
    words[1] ^= flip[1];
    std::memcpy(bytes.data() + i, words.data(), 16);
  }
  for (std::size_t j = 0; i < bytes.size(); ++i, ++j) bytes[i] ^= pattern[j];
}

/// The sign bits of parts [skip, skip + step, ...], each `part` bytes large.
Pattern sign_pattern(std::size_t part, std::size_t skip, std::size_t step) {
  Pattern pattern{};
  for (std::size_t i = skip; (i + 1) * part <= pattern.size(); i += step) {
    pattern[(i + 1) * part - 1] = std::byte{0x80};
  }
  return pattern;
}

template <typename T>
void negate_integers(std::span<std::byte> bytes) {
  for (std::size_t i = 0; i < bytes.size(); i += sizeof(T)) {
    T value;
    std::memcpy(&value, bytes.data() + i, sizeof(T));
    value = static_cast<T>(T{0} - value);
    std::memcpy(bytes.data() + i, &value, sizeof(T));
  }
}

// Zero and NaN have one pattern each, which differ in the sign bit only: both stay.
void negate_fnuz(std::span<std::byte> bytes) {
  for (std::byte& byte : bytes) {
    if ((byte & std::byte{0x7f}) != std::byte{0}) byte ^= std::byte{0x80};
  }
}

Status check_whole_elements(DType dtype, std::size_t size_bytes) {
  const std::size_t element_bytes = (dtype_row(dtype).bits + 7U) / 8U;
  if (size_bytes % element_bytes == 0) return ok();
  return fail(Error(ErrorCode::kInvalidArgument, "the bytes do not hold whole elements")
                  .wanted("a multiple of " + std::to_string(element_bytes) + " bytes",
                          std::to_string(size_bytes)));
}

Status no_negative(DType dtype) {
  return fail(Error(ErrorCode::kUnsupported, "this dtype has no negatives")
                  .wanted("a signed number", std::string(dtype_name(dtype))));
}

Status negate_float(DType dtype, const FloatFormat& format, std::span<std::byte> bytes) {
  if (format.sign_bits == 0 || format.bits() == 6) return no_negative(dtype);
  if (format.specials == FloatSpecials::kNanMinusZero) {
    negate_fnuz(bytes);
    return ok();
  }
  Pattern pattern;
  if (format.bits() == 4) {
    pattern.fill(std::byte{0x88});
  } else {
    pattern = sign_pattern(part_bytes(format), 0, 1);
  }
  flip_bits(bytes, pattern);
  return ok();
}

}  // namespace

Status conjugate(DType dtype, std::span<std::byte> bytes) {
  if (dtype_row(dtype).kind != DTypeKind::kComplex) return ok();
  KILTER_TRY(check_whole_elements(dtype, bytes.size()));
  const std::size_t part = dtype_row(dtype).swap_bytes;
  flip_bits(bytes, sign_pattern(part, 1, 2));
  return ok();
}

Status negate(DType dtype, std::span<std::byte> bytes) {
  KILTER_TRY(check_whole_elements(dtype, bytes.size()));
  if (const FloatFormat* format = float_format(dtype)) return negate_float(dtype, *format, bytes);
  const DTypeRow& row = dtype_row(dtype);
  if (row.kind != DTypeKind::kInteger) return no_negative(dtype);
  switch (row.bits) {
    case 8:
      negate_integers<std::uint8_t>(bytes);
      break;
    case 16:
      negate_integers<std::uint16_t>(bytes);
      break;
    case 32:
      negate_integers<std::uint32_t>(bytes);
      break;
    default:
      negate_integers<std::uint64_t>(bytes);
  }
  return ok();
}

}  // namespace kilter
