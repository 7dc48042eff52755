// Zip archives read with suspicion: the central directory and every local header, both.
// Source: PKWARE APPNOTE 6.3.10. Rules of the findings: spec/scan-rules.md, section zip.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "kilter/error.h"
#include "kilter/finding.h"

#include "io/file_system.h"

namespace kilter::zip {

class FindingList;  // formats/zip/finding_list.h

struct Member {
  std::string name;          ///< as the central directory states it
  std::uint16_t method = 0;  ///< 0 stored, 8 deflate
  std::uint16_t flags = 0;
  std::uint32_t crc32 = 0;
  std::uint64_t stored_bytes = 0;
  std::uint64_t bytes = 0;
  std::uint64_t header_offset_bytes = 0;
  std::uint64_t data_offset_bytes = 0;  ///< after the local header's own name and extra field
  bool data_fits = true;                ///< the data lies in the file and behind a local header
  bool readable() const { return (method == 0 || method == 8) && (flags & 1) == 0 && data_fits; }
  bool folder() const { return !name.empty() && name.back() == '/' && bytes == 0; }
};

struct Limits {
  std::uint64_t member_count_max = 2'000'000;
  std::uint64_t directory_bytes_max = 512ULL << 20;
  std::uint64_t expansion_ratio_max = 1000;  ///< beyond 1 MiB of output
  std::size_t finding_count_max = 1000;      ///< an archive may lie two million times
  /// How far from its end the end record is looked for. Less than the default misses records with
  /// long comments: for archives whose writer is known, opened by the thousand.
  std::uint64_t tail_bytes_max = 2 * (22 + 0xffff);
};

/// A parsed archive: members sorted as in the central directory; lies between central directory and
/// local headers, duplicates, overlaps, encrypted or unknown methods, prefix or trailing bytes,
/// unsafe names are findings ("zip.…" rules), not silently chosen.
struct Archive {
  std::vector<Member> members;
  std::vector<Finding> findings;
  bool zip64 = false;
  std::uint64_t prefix_bytes = 0;  ///< before the first local header
  std::uint64_t directory_offset_bytes = 0;
  std::string comment;
  /// Position of the member of that name; of the last one where there are several, as Python's
  /// zipfile chooses (a "zip.duplicate-member" finding says so).
  std::optional<std::size_t> find(std::string_view name) const;
  /// Makes find() work and reports names that come twice. The functions below call it.
  void index_names(FindingList* list);

  Archive() = default;
  Archive(Archive&&) = default;
  Archive& operator=(Archive&&) = default;
  Archive(const Archive&) = delete;  // by_name_ would point into the other one
  Archive& operator=(const Archive&) = delete;

 private:
  std::unordered_map<std::string_view, std::size_t> by_name_;  // views into `members`
};

/// Also compares every local header (needed for data offsets anyway).
/// Errors: kMalformed when there is no usable central directory; kLimitExceeded; kIo.
Result<Archive> read_archive(const io::ReadFile& file, const Limits& limits = {});

/// For damaged files (no central directory): walks local headers from the start and returns what is
/// whole. Never fails on content.
Result<Archive> salvage_archive(const io::ReadFile& file, const Limits& limits = {});

/// A whole member in memory, inflated, CRC checked.
/// Errors: kLimitExceeded above `bytes_max`; kCorrupt (CRC, size, deflate); kUnsupported (method,
/// encryption); kIo. All name "file!member".
Result<std::vector<std::byte>> read_member(const io::ReadFile& file, const Member& member,
                                           std::uint64_t bytes_max);

/// What could be had of a member, for those who must look at it whatever it claims to be.
struct MemberBytes {
  std::vector<std::byte> bytes;
  std::optional<Error> fault;  ///< why the bytes are not what the archive states
};
/// Ignores an encryption flag, a wrong CRC and a wrong size; reads unknown methods as stored. Only
/// `fault` says so. At most `bytes_max` bytes come back.
Result<MemberBytes> read_member_anyway(const io::ReadFile& file, const Member& member,
                                       std::uint64_t bytes_max);

/// Streams a member through and checks its CRC and size without keeping it.
Status check_member(const io::ReadFile& file, const Member& member);

}  // namespace kilter::zip
