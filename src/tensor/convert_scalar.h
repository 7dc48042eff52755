// One element of any dtype as a number or as text.
#pragma once

#include <complex>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "kilter/dtype.h"
#include "kilter/error.h"

namespace kilter {

/// The element at `index` of a packed little-endian run; complex dtypes give both parts, the
/// others an imaginary part of 0, quantized and raw bits the stored integer. Integers beyond
/// 2^53 round to nearest even. Elements narrower than a byte lie low bits first.
/// Errors: kOutOfRange if `bytes` ends before the element does.
Result<std::complex<double>> to_complex(DType dtype, std::span<const std::byte> bytes,
                                        std::uint64_t index = 0);

/// The real part of to_complex(). Same errors.
Result<double> to_double(DType dtype, std::span<const std::byte> bytes, std::uint64_t index = 0);

/// "0.5", "nan", "true", "-7", "(1+2j)": the shortest digits that read back to the same value in
/// binary64; integers exactly. Same errors.
Result<std::string> scalar_text(DType dtype, std::span<const std::byte> bytes,
                                std::uint64_t index = 0);

}  // namespace kilter
