#include "formats/zip/archive.h"

#include <algorithm>

#include "base/checked.h"
#include "base/text.h"
#include "base/try.h"
#include "formats/zip/finding_list.h"
#include "formats/zip/local_headers.h"
#include "formats/zip/records.h"
#include "formats/zip/zip_format.h"
#include "io/safe_path.h"

namespace kilter::zip {
namespace {

std::string quoted(std::string_view name) { return cat({"\"", escape_text(name, 200), "\""}); }

/// Junk before and after, spanning, contradicting end records.
void judge_end(const EndRecord& end, FindingList* list) {
  if (end.zip64_lies)
    list->add("zip.two-directories", Severity::kDangerous, "",
              "the end record and the zip64 end record state different directories: which members "
              "a loader sees depends on the loader",
              {}, end.end_offset_bytes);
  if (end.other_place)
    list->add("zip.two-directories", Severity::kDangerous, "",
              "a directory begins at the stated place and another before the end record", {},
              end.end_offset_bytes);
  if (end.disks)
    list->add("zip.spanned", Severity::kMalformed, "",
              "the archive claims to be one disk of several", {}, end.end_offset_bytes);
  if (end.trailing_bytes > 0)
    list->add("zip.trailing-bytes", Severity::kSuspicious, "",
              std::to_string(end.trailing_bytes) + " bytes follow the end of the archive", {},
              end.end_offset_bytes + kEndBytes + end.comment.size());
  if (!end.comment.empty())
    list->add("zip.comment", Severity::kNote, "", "the archive has a comment",
              escape_text(end.comment, 200), end.end_offset_bytes);
  const std::uint64_t directory_end = end.directory_offset_bytes + end.directory_bytes;
  if (directory_end < end.record_begin_bytes)
    list->add("zip.gap", Severity::kSuspicious, "",
              std::to_string(end.record_begin_bytes - directory_end) +
                  " bytes lie between the directory and the end record",
              {}, directory_end);
}

/// One entry of the central directory. Fails only where the next one cannot be found.
Status read_entry(ByteReader* reader, const EndRecord& end, FindingList* list, Member* member) {
  const std::uint64_t entry_at = reader->offset_bytes();
  KILTER_ASSIGN(const std::uint32_t signature, reader->u32_le());
  if (signature != kCentralSignature)
    return fail(Error(ErrorCode::kMalformed, "no directory entry where one is due")
                    .at_offset(entry_at)
                    .wanted("PK\\1\\2", hex_text(signature)));
  KILTER_ASSIGN(Bytes fixed, reader->take(kCentralHeaderBytes - 4));
  member->flags = load_le<std::uint16_t>(fixed, 4);
  member->method = load_le<std::uint16_t>(fixed, 6);
  member->crc32 = load_le<std::uint32_t>(fixed, 12);
  member->stored_bytes = load_le<std::uint32_t>(fixed, 16);
  member->bytes = load_le<std::uint32_t>(fixed, 20);
  const auto name_bytes = load_le<std::uint16_t>(fixed, 24);
  const auto extra_bytes = load_le<std::uint16_t>(fixed, 26);
  const auto comment_bytes = load_le<std::uint16_t>(fixed, 28);
  member->header_offset_bytes = load_le<std::uint32_t>(fixed, 38);
  KILTER_ASSIGN(Bytes name, reader->take(name_bytes));
  KILTER_ASSIGN(Bytes extra, reader->take(extra_bytes));
  KILTER_TRY(reader->skip(comment_bytes));
  member->name = as_text(name);
  if (!read_zip64_extra(extra, &member->bytes, &member->stored_bytes, &member->header_offset_bytes))
    list->add("zip.zip64-missing", Severity::kMalformed, member->name,
              "sizes refer to a zip64 field that is missing or too short", {}, entry_at);
  // Info-ZIP's field: version, CRC of the name, the name in UTF-8. Some readers prefer it.
  if (const auto path = find_extra(extra, kExtraUnicodePath);
      path && path->size() > 5 && as_text(path->subspan(5)) != member->name)
    list->add("zip.name-differs", Severity::kDangerous, member->name,
              "the member has two names: which one counts depends on the loader",
              quoted(member->name) + " and " + quoted(as_text(path->subspan(5))), entry_at);
  const auto offset = checked_add(member->header_offset_bytes, end.base_bytes);
  member->data_fits = offset.has_value();
  member->header_offset_bytes = offset.value_or(0);
  return ok();
}

Status read_directory(const io::ReadFile& file, const EndRecord& end, const Limits& limits,
                      FindingList* list, Archive* archive) {
  if (end.directory_bytes > limits.directory_bytes_max)
    return fail(Error(ErrorCode::kLimitExceeded, "the zip directory is larger than allowed")
                    .at_path(file.path())
                    .wanted(std::to_string(limits.directory_bytes_max) + " bytes at most",
                            std::to_string(end.directory_bytes)));
  std::vector<std::byte> raw(static_cast<std::size_t>(end.directory_bytes));
  KILTER_TRY(file.read_at(end.directory_offset_bytes, raw));
  ByteReader reader(raw, end.directory_offset_bytes);
  archive->members.reserve(static_cast<std::size_t>(
      std::min<std::uint64_t>(end.entry_count, end.directory_bytes / kCentralHeaderBytes)));
  while (!reader.done()) {
    if (archive->members.size() >= limits.member_count_max)
      return fail(Error(ErrorCode::kLimitExceeded, "the zip archive has too many members")
                      .at_path(file.path())
                      .wanted(std::to_string(limits.member_count_max) + " at most",
                              std::to_string(end.entry_count)));
    Member member;
    auto status = read_entry(&reader, end, list, &member);
    if (!status) {
      list->add("zip.directory-broken", Severity::kMalformed, "",
                "the directory breaks off after " + std::to_string(archive->members.size()) +
                    " members: " + status.error().message,
                status.error().found, status.error().offset_bytes);
      break;
    }
    archive->members.push_back(std::move(member));
  }
  // Without zip64 the count is kept modulo 2^16; some writers rely on it.
  if (archive->members.size() != end.entry_count &&
      (end.zip64 || (archive->members.size() & 0xffff) != end.entry_count))
    list->add("zip.count-differs", Severity::kMalformed, "",
              "the end record and the directory disagree about the number of members",
              std::to_string(end.entry_count) + " stated, " +
                  std::to_string(archive->members.size()) + " found",
              end.end_offset_bytes);
  return ok();
}

void judge_name(const Member& member, FindingList* list) {
  std::string_view name = member.name;
  if (name.size() > 1 && name.back() == '/') name.remove_suffix(1);
  if (auto status = io::check_relative_name(name); !status)
    list->add("zip.unsafe-name", Severity::kDangerous, member.name,
              "the member's name could lead out of the folder it is unpacked to: " +
                  status.error().message,
              quoted(member.name), member.header_offset_bytes);
}

void judge_member(const Member& member, const Limits& limits, FindingList* list) {
  constexpr std::uint16_t kHidden =
      kFlagEncrypted | kFlagPatch | kFlagStrongEncryption | kFlagMaskedHeaders;
  if ((member.flags & kHidden) != 0)
    list->add("zip.encrypted", Severity::kSuspicious, member.name,
              "the member is marked as encrypted or patched: loaders that ignore the flag read it, "
              "others do not",
              cat({"flags ", hex_text(member.flags)}), member.header_offset_bytes);
  if (member.method != kMethodStored && member.method != kMethodDeflate)
    list->add(
        "zip.unknown-method", Severity::kUnknown, member.name,
        "the member is compressed by a method that Kilter does not read; it was not looked at",
        cat({"method ", std::to_string(member.method)}), member.header_offset_bytes);
  if (member.method == kMethodStored && member.stored_bytes != member.bytes)
    list->add(
        "zip.size-differs", Severity::kDangerous, member.name,
        "a stored member states two sizes: loaders read different bytes",
        std::to_string(member.stored_bytes) + " and " + std::to_string(member.bytes) + " bytes",
        member.header_offset_bytes);
  constexpr std::uint64_t kHarmlessBytes = 1 << 20;
  if (member.method == kMethodDeflate && member.bytes > kHarmlessBytes &&
      member.bytes / limits.expansion_ratio_max > member.stored_bytes)
    list->add(
        "zip.expansion", Severity::kSuspicious, member.name,
        "the member expands more than " + std::to_string(limits.expansion_ratio_max) + " times",
        std::to_string(member.stored_bytes) + " to " + std::to_string(member.bytes) + " bytes",
        member.header_offset_bytes);
}

}  // namespace

void Archive::index_names(FindingList* list) {
  by_name_.clear();
  by_name_.reserve(members.size());
  for (std::size_t i = 0; i < members.size(); ++i) {
    const auto [seen, added] = by_name_.try_emplace(members[i].name, i);
    if (added) continue;
    list->add("zip.duplicate-member", Severity::kDangerous, members[i].name,
              "two members have the same name: which one counts depends on the loader",
              cat({"headers at ", std::to_string(members[seen->second].header_offset_bytes),
                   " and ", std::to_string(members[i].header_offset_bytes)}),
              members[i].header_offset_bytes);
    seen->second = i;
  }
}

std::optional<std::size_t> Archive::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  if (found == by_name_.end()) return std::nullopt;
  return found->second;
}

Result<Archive> read_archive(const io::ReadFile& file, const Limits& limits) {
  Archive archive;
  FindingList list(&archive.findings, limits.finding_count_max, file.path());
  KILTER_ASSIGN(const EndRecord end, find_end_record(file, limits, &archive.findings));
  judge_end(end, &list);
  archive.zip64 = end.zip64;
  archive.comment = end.comment;
  archive.directory_offset_bytes = end.directory_offset_bytes;
  KILTER_TRY(read_directory(file, end, limits, &list, &archive));
  for (const Member& member : archive.members) {
    judge_name(member, &list);
    judge_member(member, limits, &list);
  }
  KILTER_TRY(read_local_headers(file, end, &list, &archive));
  archive.index_names(&list);
  return archive;
}

}  // namespace kilter::zip
