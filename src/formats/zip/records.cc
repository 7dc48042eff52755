#include "formats/zip/records.h"

#include <algorithm>
#include <bit>

#include "base/checked.h"
#include "base/try.h"
#include "formats/zip/zip_format.h"

namespace kilter::zip {
namespace {

/// End records that are looked at; a hostile comment may be made of nothing else.
constexpr int kCandidateCountMax = 64;

std::uint32_t signature_at(Bytes bytes, std::uint64_t position) {
  auto value = ByteReader(bytes.subspan(static_cast<std::size_t>(position))).u32_le();
  return value.value_or(0);
}

/// Reads the signature of a record in the file; 0 if it lies outside.
std::uint32_t signature_in_file(const io::ReadFile& file, std::uint64_t offset_bytes) {
  std::byte raw[4];
  if (!range_fits(offset_bytes, 4, file.bytes())) return 0;
  if (!file.read_at(offset_bytes, raw)) return 0;
  return signature_at(raw, 0);
}

/// The zip64 end record, where the locator before the end record points. False: there is none.
Result<bool> read_end64(const io::ReadFile& file, EndRecord* end) {
  if (end->end_offset_bytes < kLocator64Bytes) return false;
  std::vector<std::byte> raw(kLocator64Bytes);
  const std::uint64_t locator_at = end->end_offset_bytes - kLocator64Bytes;
  KILTER_TRY(file.read_at(locator_at, raw));
  ByteReader locator(raw);
  if (locator.u32_le().value_or(0) != kLocator64Signature) return false;
  (void)locator.skip(4);
  std::uint64_t at = locator.u64_le().value_or(0);
  // Where junk stands before the archive, the stated place is too small: the record then directly
  // precedes its locator.
  if (signature_in_file(file, at) != kEnd64Signature || at > locator_at) {
    if (locator_at < kEnd64Bytes) return false;
    at = locator_at - kEnd64Bytes;
    if (signature_in_file(file, at) != kEnd64Signature) return false;
  }
  if (locator_at - at < kEnd64Bytes) return false;
  raw.resize(kEnd64Bytes);
  KILTER_TRY(file.read_at(at, raw));
  ByteReader record(raw);
  (void)record.skip(16);
  const std::uint32_t disk = record.u32_le().value_or(0);
  const std::uint32_t directory_disk = record.u32_le().value_or(0);
  const std::uint64_t here = record.u64_le().value_or(0);
  const std::uint64_t total = record.u64_le().value_or(0);
  const std::uint64_t bytes = record.u64_le().value_or(0);
  const std::uint64_t offset = record.u64_le().value_or(0);
  const auto differs = [](std::uint64_t plain, std::uint64_t sentinel, std::uint64_t wide) {
    return plain != sentinel && plain != wide;
  };
  end->zip64_lies = differs(end->entry_count, kSentinel16, total) ||
                    differs(end->directory_bytes, kSentinel32, bytes) ||
                    differs(end->directory_offset_bytes, kSentinel32, offset);
  end->disks = end->disks || disk != 0 || directory_disk != 0 || here != total;
  end->entry_count = total;
  end->directory_bytes = bytes;
  end->directory_offset_bytes = offset;
  end->record_begin_bytes = at;
  end->zip64 = true;
  return true;
}

/// Settles where the directory lies; false if there is none at any sensible place.
bool place_directory(const io::ReadFile& file, EndRecord* end) {
  const std::uint64_t room = end->record_begin_bytes;
  if (end->directory_bytes > room) return false;
  const std::uint64_t adjacent = room - end->directory_bytes;
  const bool stated_fits = range_fits(end->directory_offset_bytes, end->directory_bytes, room);
  if (end->directory_bytes == 0) return end->entry_count == 0 && stated_fits;
  const bool at_stated =
      stated_fits && signature_in_file(file, end->directory_offset_bytes) == kCentralSignature;
  if (adjacent == end->directory_offset_bytes) return at_stated;
  const bool at_adjacent = signature_in_file(file, adjacent) == kCentralSignature;
  if (at_adjacent && adjacent > end->directory_offset_bytes) {
    end->other_place = at_stated;
    end->base_bytes = adjacent - end->directory_offset_bytes;
    end->directory_offset_bytes = adjacent;
    return true;
  }
  return at_stated;
}

/// Reads the end record at `position` of `tail`; nullopt if it is none.
Result<std::optional<EndRecord>> read_end(const io::ReadFile& file, Bytes tail,
                                          std::uint64_t tail_offset, std::uint64_t position) {
  ByteReader reader(tail.subspan(static_cast<std::size_t>(position)), tail_offset + position);
  if (reader.remaining() < kEndBytes) return std::nullopt;
  EndRecord end;
  end.end_offset_bytes = tail_offset + position;
  end.record_begin_bytes = end.end_offset_bytes;
  (void)reader.skip(4);
  const std::uint16_t disk = reader.u16_le().value_or(0);
  const std::uint16_t directory_disk = reader.u16_le().value_or(0);
  const std::uint16_t here = reader.u16_le().value_or(0);
  end.entry_count = reader.u16_le().value_or(0);
  end.directory_bytes = reader.u32_le().value_or(0);
  end.directory_offset_bytes = reader.u32_le().value_or(0);
  const std::uint16_t comment_bytes = reader.u16_le().value_or(0);
  end.disks = (disk != 0 && disk != kSentinel16) ||
              (directory_disk != 0 && directory_disk != kSentinel16) || here != end.entry_count;
  auto comment = reader.take(std::min<std::uint64_t>(comment_bytes, reader.remaining()));
  end.comment = as_text(*comment);
  end.trailing_bytes = reader.remaining();
  auto wide = read_end64(file, &end);
  if (!wide) return fail(std::move(wide).error());
  if (!place_directory(file, &end)) return std::nullopt;
  return end;
}

void report_second(const io::ReadFile& file, const EndRecord& chosen, const EndRecord& other,
                   std::vector<Finding>* findings) {
  Finding finding;
  finding.rule = "zip.two-directories";
  finding.severity = Severity::kDangerous;
  finding.path = file.path();
  finding.offset_bytes = other.end_offset_bytes;
  finding.message =
      "the file has two central directories: which members a loader sees depends on the loader";
  finding.evidence = "end records at " + std::to_string(chosen.end_offset_bytes) + " (" +
                     std::to_string(chosen.entry_count) + " members) and " +
                     std::to_string(other.end_offset_bytes) + " (" +
                     std::to_string(other.entry_count) + " members)";
  findings->push_back(std::move(finding));
}

}  // namespace

std::optional<Bytes> find_extra(Bytes extra, std::uint16_t id) {
  constexpr std::size_t kFieldHeaderBytes = 4;
  while (extra.size() >= kFieldHeaderBytes) {
    const auto found = load_le<std::uint16_t>(extra, 0);
    const auto count = load_le<std::uint16_t>(extra, 2);
    extra = extra.subspan(kFieldHeaderBytes);
    if (count > extra.size()) return std::nullopt;
    if (found == id) return extra.first(count);
    extra = extra.subspan(count);
  }
  return std::nullopt;
}

bool read_zip64_extra(Bytes extra, std::uint64_t* bytes, std::uint64_t* stored_bytes,
                      std::uint64_t* header_offset_bytes) {
  const auto data = find_extra(extra, kExtraZip64);
  ByteReader reader(data.value_or(Bytes{}));
  for (std::uint64_t* field : {bytes, stored_bytes, header_offset_bytes}) {
    if (field == nullptr || *field != kSentinel32) continue;
    auto value = reader.u64_le();
    if (!value) return false;
    *field = *value;
  }
  return true;
}

std::optional<LocalHeader> read_local_header(Bytes fixed) {
  if (fixed.size() < kLocalHeaderBytes || load_le<std::uint32_t>(fixed, 0) != kLocalSignature)
    return std::nullopt;
  LocalHeader header;
  header.flags = load_le<std::uint16_t>(fixed, 6);
  header.method = load_le<std::uint16_t>(fixed, 8);
  header.crc32 = load_le<std::uint32_t>(fixed, 14);
  header.stored_bytes = load_le<std::uint32_t>(fixed, 18);
  header.bytes = load_le<std::uint32_t>(fixed, 22);
  header.name_bytes = load_le<std::uint16_t>(fixed, 26);
  header.extra_bytes = load_le<std::uint16_t>(fixed, 28);
  return header;
}

Result<EndRecord> find_end_record(const io::ReadFile& file, const Limits& limits,
                                  std::vector<Finding>* findings) {
  // Trailing junk beyond the default hides the archive from every reader we know of.
  const std::uint64_t tail_bytes = std::min<std::uint64_t>(file.bytes(), limits.tail_bytes_max);
  std::vector<std::byte> tail(static_cast<std::size_t>(tail_bytes));
  const std::uint64_t tail_offset = file.bytes() - tail_bytes;
  KILTER_TRY(file.read_at(tail_offset, tail));
  const std::string_view text = as_text(tail);
  std::optional<EndRecord> chosen;
  int candidates = 0;
  for (std::size_t at = text.rfind("PK\5\6"); at != std::string_view::npos;
       at = at == 0 ? std::string_view::npos : text.rfind("PK\5\6", at - 1)) {
    if (++candidates > kCandidateCountMax) break;
    KILTER_ASSIGN(auto end, read_end(file, tail, tail_offset, at));
    if (!end) continue;
    if (!chosen) {
      chosen = std::move(end);
      continue;
    }
    // A stored archive inside this one has an end record too. Only one whose comment swallows the
    // chosen record competes with it.
    const std::uint64_t comment_end = end->end_offset_bytes + kEndBytes + end->comment.size();
    if (comment_end <= chosen->end_offset_bytes) continue;
    report_second(file, *chosen, *end, findings);
    break;
  }
  if (chosen) return std::move(*chosen);
  return fail(
      Error(ErrorCode::kMalformed, candidates == 0
                                       ? "zip archive without a central directory"
                                       : "zip archive whose end record points to no directory")
          .at_path(file.path())
          .at_offset(tail_offset)
          .wanted("an end record (PK\\5\\6) and the directory it names",
                  candidates == 0 ? "none in the last " + std::to_string(tail_bytes) + " bytes"
                                  : "no directory at the stated place")
          .advise("the file was probably cut off while it was written or downloaded"));
}

}  // namespace kilter::zip
