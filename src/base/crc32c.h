// CRC-32C (Castagnoli): what LevelDB-style tables and TensorFlow's bundles protect bytes with.
// Source: RFC 3720, appendix B.4.
#pragma once

#include <cstdint>

#include "base/byte_reader.h"

namespace kilter {

/// The checksum of `bytes`; with `before`, of what that is the checksum of with `bytes` behind it.
/// The processor's own instruction where it has one, chosen at run time.
std::uint32_t crc32c(Bytes bytes, std::uint32_t before = 0);

/// The same from a table, a byte at a time: the reference the other is tested against.
std::uint32_t crc32c_reference(Bytes bytes, std::uint32_t before = 0);

/// Checksums of bytes that hold checksums are stored rotated and shifted, so that the sum of a sum
/// does not come out the same for everything. Source: leveldb/doc/table_format.md, crc32c.h.
constexpr std::uint32_t unmask_crc32c(std::uint32_t masked) {
  const std::uint32_t rotated = masked - 0xa282ead8U;
  return rotated >> 17U | rotated << 15U;
}
constexpr std::uint32_t mask_crc32c(std::uint32_t crc) {
  return (crc >> 15U | crc << 17U) + 0xa282ead8U;
}

}  // namespace kilter
