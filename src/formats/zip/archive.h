// Zip archives read with suspicion: the central directory and every local header, both.
// Source: PKWARE APPNOTE 6.3.10.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kilter/error.h"
#include "kilter/finding.h"

#include "io/file_system.h"

namespace kilter::zip {

struct Member {
  std::string name;          ///< as the central directory states it
  std::uint16_t method = 0;  ///< 0 stored, 8 deflate
  std::uint16_t flags = 0;
  std::uint32_t crc32 = 0;
  std::uint64_t stored_bytes = 0;
  std::uint64_t bytes = 0;
  std::uint64_t header_offset_bytes = 0;
  std::uint64_t data_offset_bytes = 0;  ///< after the local header's own name and extra field
  bool readable() const { return (method == 0 || method == 8) && (flags & 1) == 0; }
};

struct Limits {
  std::uint64_t member_count_max = 2'000'000;
  std::uint64_t directory_bytes_max = 512ULL << 20;
  std::uint64_t expansion_ratio_max = 1000;  ///< beyond 1 MiB of output
};

/// A parsed archive: members sorted as in the central directory; lies between central directory and
/// local headers, duplicates, overlaps, encrypted or unknown methods, prefix or trailing bytes,
/// unsafe names are findings ("zip.…" rules), not silently chosen.
struct Archive {
  std::vector<Member> members;
  std::vector<Finding> findings;
  bool zip64 = false;
  std::uint64_t prefix_bytes = 0;  ///< before the first local header
  std::string comment;
  std::optional<std::size_t> find(std::string_view name) const;
};

/// `read_local_headers`: also compares every local header (needed for data offsets anyway).
/// Errors: kMalformed when there is no usable central directory.
Result<Archive> read_archive(const io::ReadFile& file, const Limits& limits = {});

/// For damaged files (no central directory): walks local headers from the start and returns what is
/// whole. Never fails on content.
Result<Archive> salvage_archive(const io::ReadFile& file, const Limits& limits = {});

/// A whole member in memory, inflated, CRC checked. kLimitExceeded above `bytes_max`.
Result<std::vector<std::byte>> read_member(const io::ReadFile& file, const Member& member,
                                           std::uint64_t bytes_max);

/// Streams a member through and checks its CRC and size without keeping it.
Status check_member(const io::ReadFile& file, const Member& member);

}  // namespace kilter::zip
