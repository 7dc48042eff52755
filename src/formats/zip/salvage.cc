// What is left of an archive whose directory is lost: walks the local headers.
#include <algorithm>

#include "base/checked.h"
#include "base/try.h"
#include "formats/zip/archive.h"
#include "formats/zip/finding_list.h"
#include "formats/zip/records.h"
#include "formats/zip/zip_format.h"

namespace kilter::zip {
namespace {

constexpr std::uint64_t kSalvageBytes = 4 << 20;

/// Finds signatures in a file, a chunk at a time.
class SignatureSearch {
 public:
  explicit SignatureSearch(const io::ReadFile& file) : file_(file) {}

  /// The next "PK" + two bytes at or after `from`; nullopt at the end of the file.
  Result<std::optional<std::uint64_t>> next(std::uint64_t from, std::string_view signature) {
    while (from + signature.size() <= file_.bytes()) {
      KILTER_TRY(load(from));
      const std::string_view text = as_text(chunk_).substr(static_cast<std::size_t>(from - begin_));
      if (const std::size_t at = text.find(signature); at != std::string_view::npos)
        return from + at;
      from = std::max(from + 1, begin_ + chunk_.size() - (signature.size() - 1));
    }
    return std::nullopt;
  }

 private:
  Status load(std::uint64_t from) {
    if (from >= begin_ && from + 4 <= begin_ + chunk_.size()) return ok();
    begin_ = from;
    chunk_.resize(static_cast<std::size_t>(std::min(kSalvageBytes, file_.bytes() - from)));
    return file_.read_at(begin_, chunk_);
  }

  const io::ReadFile& file_;
  std::uint64_t begin_ = 0;
  std::vector<std::byte> chunk_;
};

class Salvage {
 public:
  Salvage(const io::ReadFile& file, const Limits& limits, Archive* archive, FindingList* list)
      : file_(file),
        limits_(limits),
        archive_(archive),
        list_(list),
        search_(file),
        search_budget_bytes_(4 * file.bytes() + (64ULL << 20)) {}

  Status run() {
    std::uint64_t at = 0;
    while (archive_->members.size() < limits_.member_count_max) {
      KILTER_ASSIGN(const auto header, search_.next(at, "PK\3\4"));
      if (!header) return ok();
      KILTER_ASSIGN(at, visit(*header));
    }
    return ok();
  }

 private:
  /// Keeps the member at `header` if it is whole. Returns where to go on.
  Result<std::uint64_t> visit(std::uint64_t header) {
    const std::uint64_t past = header + 4;
    constexpr std::uint64_t kUsualHeaderBytes = 1024;
    std::vector<std::byte> raw(
        static_cast<std::size_t>(std::min(kUsualHeaderBytes, file_.bytes() - header)));
    KILTER_TRY(file_.read_at(header, raw));
    const auto local = read_local_header(raw);
    if (!local || local->name_bytes == 0) return past;
    const std::uint64_t header_bytes =
        kLocalHeaderBytes + local->name_bytes + std::uint64_t{local->extra_bytes};
    if (!range_fits(header, header_bytes, file_.bytes())) return past;
    if (header_bytes > raw.size()) {
      raw.resize(static_cast<std::size_t>(header_bytes));
      KILTER_TRY(file_.read_at(header, raw));
    }
    Member member;
    member.name = as_text(Bytes(raw).subspan(kLocalHeaderBytes, local->name_bytes));
    member.flags = local->flags;
    member.method = local->method;
    member.crc32 = local->crc32;
    member.bytes = local->bytes;
    member.stored_bytes = local->stored_bytes;
    member.header_offset_bytes = header;
    member.data_offset_bytes = header + header_bytes;
    (void)read_zip64_extra(
        Bytes(raw).subspan(kLocalHeaderBytes + local->name_bytes, local->extra_bytes),
        &member.bytes, &member.stored_bytes, nullptr);
    const bool late = (member.flags & kFlagDescriptor) != 0;
    if (late) {
      KILTER_ASSIGN(const bool found, find_descriptor(&member));
      if (!found) return lost(member);
    } else if (!range_fits(member.data_offset_bytes, member.stored_bytes, file_.bytes())) {
      return lost(member);
    }
    const std::uint64_t end = member.data_offset_bytes + member.stored_bytes;
    archive_->members.push_back(std::move(member));
    return std::max(end, past);
  }

  std::uint64_t lost(const Member& member) {
    list_->add(
        "zip.truncated-member", Severity::kMalformed, member.name, "the member's data is cut off",
        std::to_string(file_.bytes() - member.data_offset_bytes) + " bytes of it are in the file",
        member.header_offset_bytes);
    return member.data_offset_bytes;
  }

  /// The descriptor behind the data: the first one whose size is its own distance.
  Result<bool> find_descriptor(Member* member) {
    if (search_budget_bytes_ == 0) return false;
    std::uint64_t at = member->data_offset_bytes;
    while (true) {
      KILTER_ASSIGN(const auto found, search_.next(at, "PK\7\x08"));
      const std::uint64_t walked = found.value_or(file_.bytes()) - at;
      if (walked > search_budget_bytes_)
        search_budget_bytes_ = 0;
      else
        search_budget_bytes_ -= walked;
      if (!found || search_budget_bytes_ == 0) return false;
      std::byte raw[kDescriptorBytesMax];
      const std::uint64_t count = std::min(kDescriptorBytesMax, file_.bytes() - *found);
      KILTER_TRY(file_.read_at(*found, std::span(raw).first(static_cast<std::size_t>(count))));
      if (fits_descriptor(Bytes(raw, static_cast<std::size_t>(count)),
                          *found - member->data_offset_bytes, member))
        return true;
      at = *found + 1;
    }
  }

  static bool fits_descriptor(Bytes raw, std::uint64_t distance, Member* member) {
    for (const bool wide : {false, true}) {
      ByteReader reader(raw);
      if (!reader.skip(4)) return false;
      const auto crc = reader.u32_le();
      std::uint64_t stored = 0;
      std::uint64_t plain = 0;
      if (wide) {
        const auto a = reader.u64_le();
        const auto b = reader.u64_le();
        if (!a || !b) return false;
        stored = *a, plain = *b;
      } else {
        const auto a = reader.u32_le();
        const auto b = reader.u32_le();
        if (!a || !b) return false;
        stored = *a, plain = *b;
      }
      if (stored != distance) continue;
      if (member->method == kMethodStored && plain != stored) continue;
      member->crc32 = *crc;
      member->stored_bytes = stored;
      member->bytes = plain;
      return true;
    }
    return false;
  }

  const io::ReadFile& file_;
  const Limits& limits_;
  Archive* archive_;
  FindingList* list_;
  SignatureSearch search_;
  /// Headers that never end would make the walk quadratic.
  std::uint64_t search_budget_bytes_;
};

}  // namespace

Result<Archive> salvage_archive(const io::ReadFile& file, const Limits& limits) {
  Archive archive;
  FindingList list(&archive.findings, limits.finding_count_max, file.path());
  list.add("zip.salvaged", Severity::kMalformed, "",
           "the archive has no usable directory; its members were found by walking the file");
  KILTER_TRY(Salvage(file, limits, &archive, &list).run());
  archive.directory_offset_bytes = file.bytes();
  archive.index_names(&list);
  return archive;
}

}  // namespace kilter::zip
