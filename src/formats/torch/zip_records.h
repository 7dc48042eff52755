// Zip records as torch writes them: payloads stored, aligned, CRC behind the data.
// Source: PKWARE APPNOTE 6.3.10; caffe2/serialize/inline_container.cc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "formats/zip/zip_format.h"

namespace kilter::torch {

inline constexpr std::size_t kNoOutput = SIZE_MAX;

/// One member of the archive.
struct ZipEntry {
  std::string name;
  std::string literal;             ///< its bytes, unless it is an output
  std::size_t output = kNoOutput;  ///< of the plan
  std::uint64_t bytes = 0;
  std::uint64_t header_offset_bytes = 0;
  std::uint32_t crc32 = 0;  ///< of a literal
  bool wide() const { return bytes >= zip::kSentinel32; }
};

/// The local header for a record at `offset` of its archive, padded by an extra field "FB" so that
/// the payload is aligned: torch maps storages.
std::string local_header(const ZipEntry& entry, std::uint64_t offset);
/// What follows the payload.
std::string descriptor(const ZipEntry& entry, std::uint32_t crc32);
std::string central_entry(const ZipEntry& entry, std::uint32_t crc32);
/// After a directory of `bytes` bytes at `offset`.
std::string end_records(std::uint64_t count, std::uint64_t offset, std::uint64_t bytes);

inline constexpr std::uint64_t kPayloadAlign = 64;

}  // namespace kilter::torch
