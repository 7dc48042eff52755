// Single zip records, read from bytes in memory.
#pragma once

#include <optional>
#include <string>

#include "base/byte_reader.h"
#include "formats/zip/archive.h"

namespace kilter::zip {

/// Where a directory says it lies, and where its end record stands.
struct EndRecord {
  std::uint64_t end_offset_bytes = 0;    ///< of the end record
  std::uint64_t record_begin_bytes = 0;  ///< of what the directory must lie before (zip64 first)
  std::uint64_t entry_count = 0;
  std::uint64_t directory_bytes = 0;
  std::uint64_t directory_offset_bytes = 0;  ///< as stated
  std::uint64_t base_bytes = 0;              ///< to add to stated offsets: a prefix of junk
  std::uint64_t trailing_bytes = 0;          ///< after the comment
  bool zip64 = false;
  bool disks = false;        ///< claims to be one disk of several
  bool zip64_lies = false;   ///< the two end records contradict each other
  bool other_place = false;  ///< a directory also begins where the stated offset says
  std::string comment;
};

/// A local header as it stands before the data.
struct LocalHeader {
  std::uint16_t flags = 0;
  std::uint16_t method = 0;
  std::uint32_t crc32 = 0;
  std::uint64_t stored_bytes = 0;
  std::uint64_t bytes = 0;
  std::uint16_t name_bytes = 0;
  std::uint16_t extra_bytes = 0;
};

/// The sizes and offset in a zip64 extra field, in the order APPNOTE 4.5.3 gives: each one only if
/// its plain field holds the sentinel. Returns false if the field is too short.
bool read_zip64_extra(Bytes extra, std::uint64_t* bytes, std::uint64_t* stored_bytes,
                      std::uint64_t* header_offset_bytes);

/// The data of extra field `id`; nullopt if there is none or the fields are broken before it.
std::optional<Bytes> find_extra(Bytes extra, std::uint16_t id);

/// The fixed part (30 bytes); nullopt without the signature.
std::optional<LocalHeader> read_local_header(Bytes fixed);

/// Finds the end record that readers would take: the last in the file whose directory is there.
/// More such records with another directory go to `findings`.
Result<EndRecord> find_end_record(const io::ReadFile& file, const Limits& limits,
                                  std::vector<Finding>* findings);

}  // namespace kilter::zip
