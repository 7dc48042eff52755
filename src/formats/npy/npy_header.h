// The header of a .npy array. Source: numpy.lib.format (NEP 1), versions 1.0, 2.0 and 3.0.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kilter/dtype.h"
#include "kilter/error.h"

#include "base/byte_reader.h"

namespace kilter::npy {

inline constexpr std::string_view kMagic{"\x93NUMPY", 6};
inline constexpr std::uint64_t kHeaderBytesMax = 1 << 20;  ///< numpy itself stops at 10,000
inline constexpr std::size_t kDimensionsMax = 64;          ///< numpy's own limit

enum class Elements : std::uint8_t {
  kNumbers,  ///< `dtype` says which
  kObjects,  ///< the data is a pickle
  kOther,    ///< text, dates, structures, long double …: named, not read
};

struct NpyHeader {
  int major = 1;
  std::string descr;  ///< as the file states it
  Elements elements = Elements::kOther;
  DType dtype = DType::kF32;
  bool big_endian = false;
  bool fortran_order = false;
  std::vector<std::int64_t> shape;
  std::uint64_t data_offset_bytes = 0;  ///< from the magic
};

/// `head` begins at the magic and holds at least the header or all there is; `file_offset_bytes` is
/// where that lies, for messages. Never recursive.
/// Errors: kMalformed with offset, expected, found; kUnsupported for another version.
Result<NpyHeader> parse_npy_header(Bytes head, std::uint64_t file_offset_bytes);

/// How many bytes of the head are needed, told from its first 12 bytes (fewer: kMalformed).
Result<std::uint64_t> npy_header_bytes(Bytes head, std::uint64_t file_offset_bytes);

/// What numpy calls a dtype: "<f4", "|V2" for bf16, "|u1" for 8-bit floats; empty where it has
/// nothing of the same width.
std::string_view numpy_descr(DType dtype);

/// Everything before the data, padded to a multiple of 64 bytes. Version 1.0: at most 64 dimensions
/// of 19 digits fit its u16 length.
std::string make_npy_header(std::string_view descr, const std::vector<std::int64_t>& shape);

}  // namespace kilter::npy
