// Tar archives: ustar, pax and GNU long names. Data of members is never compressed.
// Source: POSIX.1-2017 pax, section "ustar Interchange Format"; GNU tar manual, "Basic Tar Format".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kilter/error.h"
#include "kilter/finding.h"

#include "io/file_system.h"

namespace kilter::tar {

inline constexpr std::uint64_t kBlockBytes = 512;

enum class MemberKind : std::uint8_t { kFile, kFolder, kLink, kDevice, kOther };

struct Member {
  std::string name;
  std::string link;  ///< where a link points
  MemberKind kind = MemberKind::kFile;
  std::uint64_t header_offset_bytes = 0;
  std::uint64_t data_offset_bytes = 0;
  std::uint64_t bytes = 0;  ///< as stated
  bool data_fits = true;    ///< all of it is in the file
};

struct Limits {
  std::uint64_t member_count_max = 1'000'000;
  std::uint64_t long_name_bytes_max = 1 << 20;  ///< of one pax or GNU name record
  std::size_t finding_count_max = 1000;
};

/// Members in file order. Traversing names, links, devices, duplicates, broken checksums and
/// members cut off are findings ("tar.…" rules).
struct Archive {
  std::vector<Member> members;
  std::vector<Finding> findings;
  bool ended = false;  ///< two zero blocks were met
  /// Position of the last member of that name ("./name" counts as "name"); nullopt if none.
  std::optional<std::size_t> find(std::string_view name) const;
};

/// True if the first block is a tar header: its checksum holds. Zero blocks are no archive.
bool is_header(Bytes block);

/// Reads headers until the end. Errors: kMalformed if the first header is none; kLimitExceeded;
/// kIo.
Result<Archive> read_archive(const io::ReadFile& file, const Limits& limits = {});

}  // namespace kilter::tar
