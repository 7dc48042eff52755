#include "formats/zip/local_headers.h"

#include <algorithm>
#include <numeric>

#include "base/checked.h"
#include "base/text.h"
#include "base/try.h"
#include "formats/zip/zip_format.h"

namespace kilter::zip {
namespace {

/// Reading a gap this long costs about as much as another call.
constexpr std::uint64_t kJoinGapBytes = 1 << 10;
constexpr std::uint64_t kWindowBytesMax = 1 << 20;
/// Room for the extra field: torch pads its headers to the next multiple of 64.
constexpr std::uint64_t kExtraGuessBytes = 96;
/// How much of the gaps between members is searched for hidden ones.
constexpr std::uint64_t kGapBytesMax = 64 << 10;
constexpr int kGapCountMax = 64;

/// Reads ranges of a file whose begins ascend, many by one call.
class Window {
 public:
  explicit Window(const io::ReadFile& file) : file_(file) {}

  /// At least `count` bytes at `offset`, fewer only at the end of the file. `plan_end` is how far
  /// later calls will reach: the window grows up to it.
  Result<Bytes> at(std::uint64_t offset, std::uint64_t count, std::uint64_t plan_end) {
    count = std::min(count, file_.bytes() - std::min(offset, file_.bytes()));
    if (offset < begin_ || offset + count > begin_ + buffer_.size()) {
      const std::uint64_t wanted = std::clamp(plan_end > offset ? plan_end - offset : 0, count,
                                              std::max(count, kWindowBytesMax));
      begin_ = offset;
      buffer_.resize(static_cast<std::size_t>(std::min(wanted, file_.bytes() - offset)));
      if (buffer_.empty()) return Bytes{};
      KILTER_TRY(file_.read_at(begin_, buffer_));
    }
    return Bytes(buffer_).subspan(static_cast<std::size_t>(offset - begin_),
                                  static_cast<std::size_t>(count));
  }

 private:
  const io::ReadFile& file_;
  std::uint64_t begin_ = 0;
  std::vector<std::byte> buffer_;
};

std::string both(std::uint64_t central, std::uint64_t local) {
  return cat({"directory ", std::to_string(central), ", local header ", std::to_string(local)});
}

std::string hexes(std::uint64_t central, std::uint64_t local) {
  return cat({"directory ", hex_text(central), ", local header ", hex_text(local)});
}

class LocalReader {
 public:
  LocalReader(const io::ReadFile& file, const EndRecord& end, FindingList* list, Archive* archive)
      : file_(file), end_(end), list_(list), archive_(archive), window_(file) {}

  Status run() {
    order_.resize(archive_->members.size());
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    std::sort(order_.begin(), order_.end(), [&](std::size_t a, std::size_t b) {
      return archive_->members[a].header_offset_bytes < archive_->members[b].header_offset_bytes;
    });
    plan_windows();
    for (std::size_t i = 0; i < order_.size(); ++i) KILTER_TRY(visit(i));
    return gaps();
  }

 private:
  Member& member(std::size_t i) { return archive_->members[order_[i]]; }
  std::uint64_t guess(std::size_t i) {
    return kLocalHeaderBytes + member(i).name.size() + kExtraGuessBytes;
  }

  /// For each header, how far one read may go so that it serves the following headers too.
  void plan_windows() {
    plan_end_.resize(order_.size());
    for (std::size_t i = order_.size(); i-- > 0;) {
      const std::uint64_t own_end = member(i).header_offset_bytes + guess(i);
      plan_end_[i] = own_end;
      if (i + 1 < order_.size() && member(i + 1).header_offset_bytes <= own_end + kJoinGapBytes)
        plan_end_[i] = plan_end_[i + 1];
    }
  }

  void unusable(Member* member, std::string_view rule, std::string message) {
    member->data_fits = false;
    list_->add(rule, Severity::kMalformed, member->name, std::move(message), {},
               member->header_offset_bytes);
  }

  Status visit(std::size_t i) {
    Member& m = member(i);
    if (!m.data_fits || !range_fits(m.header_offset_bytes, kLocalHeaderBytes, file_.bytes())) {
      unusable(&m, "zip.out-of-file", "the member's header lies outside the file");
      return ok();
    }
    KILTER_ASSIGN(Bytes raw, window_.at(m.header_offset_bytes, guess(i), plan_end_[i]));
    const auto local = read_local_header(raw);
    if (!local) {
      unusable(&m, "zip.no-local-header", "no local header stands where the directory says");
      return ok();
    }
    const std::uint64_t header_bytes =
        kLocalHeaderBytes + local->name_bytes + std::uint64_t{local->extra_bytes};
    m.data_offset_bytes = m.header_offset_bytes + header_bytes;
    if (header_bytes > raw.size()) {
      KILTER_ASSIGN(raw, window_.at(m.header_offset_bytes, header_bytes, 0));
    }
    if (header_bytes > raw.size() ||
        !range_fits(m.data_offset_bytes, m.stored_bytes, file_.bytes())) {
      unusable(&m, "zip.out-of-file", "the member's data ends past the end of the file");
      return ok();
    }
    compare(m, *local, raw);
    return ok();
  }

  void compare(const Member& m, LocalHeader local, Bytes raw) {
    const auto differs = [&](std::string_view rule, Severity severity, std::string message,
                             std::string evidence) {
      list_->add(rule, severity, m.name, std::move(message), std::move(evidence),
                 m.header_offset_bytes);
    };
    const std::string_view name = as_text(raw.subspan(kLocalHeaderBytes, local.name_bytes));
    const Bytes extra = raw.subspan(kLocalHeaderBytes + local.name_bytes, local.extra_bytes);
    if (name != m.name)
      differs("zip.local-name-differs", Severity::kDangerous,
              "directory and local header name the member differently: loaders see different "
              "members",
              cat({"\"", escape_text(m.name, 200), "\" and \"", escape_text(name, 200), "\""}));
    if (local.method != m.method)
      differs("zip.local-method-differs", Severity::kDangerous,
              "directory and local header state different compression methods",
              both(m.method, local.method));
    // Bit 11 (the name is UTF-8) changes nothing that is read; some writers set it in one place.
    if ((local.flags | kFlagUtf8) != (m.flags | kFlagUtf8))
      differs("zip.local-flags-differ", Severity::kDangerous,
              "directory and local header state different flags: scanners and loaders may "
              "disagree about the member",
              hexes(m.flags, local.flags));
    if (!read_zip64_extra(extra, &local.bytes, &local.stored_bytes, nullptr))
      differs("zip.zip64-missing", Severity::kMalformed,
              "the local header's sizes refer to a zip64 field that is missing or too short", {});
    const bool late = (local.flags & kFlagDescriptor) != 0;
    const auto agrees = [late](std::uint64_t central, std::uint64_t stated) {
      return stated == central || (late && stated == 0);
    };
    if (!agrees(m.bytes, local.bytes) || !agrees(m.stored_bytes, local.stored_bytes))
      differs("zip.size-differs", Severity::kDangerous,
              "directory and local header state different sizes: loaders read different bytes",
              both(m.stored_bytes, local.stored_bytes) + " stored; " + both(m.bytes, local.bytes));
    if (!agrees(m.crc32, local.crc32))
      differs("zip.local-crc-differs", Severity::kMalformed,
              "directory and local header state different checksums", hexes(m.crc32, local.crc32));
  }

  /// Overlaps, and bytes that belong to no member.
  Status gaps() {
    std::uint64_t reached = 0;
    bool descriptor = false;
    bool broken = false;
    int gap_count = 0;
    for (std::size_t i = 0; i <= order_.size(); ++i) {
      const bool last = i == order_.size();
      const std::uint64_t begin =
          last ? end_.directory_offset_bytes : member(i).header_offset_bytes;
      const std::string_view name = last ? std::string_view() : member(i).name;
      if (!last && !member(i).data_fits) {
        broken = true;  // how far it reaches is unknown, so the next gap proves nothing
        continue;
      }
      if (begin < reached) {
        list_->add("zip.overlap", Severity::kSuspicious, name,
                   last ? "a member's data overlaps the directory"
                        : "the member overlaps the one before it: a sign of an expansion bomb",
                   cat({"begins at ", std::to_string(begin), ", the one before ends at ",
                        std::to_string(reached)}),
                   begin);
      } else if (begin > reached && !broken && gap_count < kGapCountMax) {
        KILTER_ASSIGN(const bool real, gap(reached, begin, i == 0, descriptor));
        gap_count += real ? 1 : 0;
      }
      if (last) break;
      broken = false;
      const Member& m = member(i);
      reached = std::max(reached, m.data_offset_bytes + m.stored_bytes);
      descriptor = (m.flags & kFlagDescriptor) != 0;
    }
    return ok();
  }

  /// Returns true if the bytes in [begin, end) are more than a data descriptor.
  Result<bool> gap(std::uint64_t begin, std::uint64_t end, bool first, bool descriptor) {
    const std::uint64_t count = end - begin;
    if (descriptor && (count == 12 || count == 16 || count == 20 || count == 24)) return false;
    if (first) {
      archive_->prefix_bytes = count;
      list_->add("zip.prefix-bytes", Severity::kSuspicious, "",
                 std::to_string(count) +
                     " bytes stand before the archive: other readers may take the file for "
                     "something else",
                 {}, begin);
    }
    std::vector<std::byte> raw(static_cast<std::size_t>(std::min(count, kGapBytesMax)));
    KILTER_TRY(file_.read_at(begin, raw));
    const std::size_t hidden = as_text(raw).find("PK\3\4");
    if (hidden != std::string_view::npos) {
      list_->add("zip.hidden-member", Severity::kDangerous, "",
                 "a member that the directory does not list lies between the others: loaders that "
                 "walk local headers see it",
                 {}, begin + hidden);
    } else if (!first &&
               std::any_of(raw.begin(), raw.end(), [](std::byte b) { return b != std::byte{0}; })) {
      list_->add("zip.gap", Severity::kSuspicious, "",
                 std::to_string(count) + " bytes belong to no member", {}, begin);
    }
    return true;
  }

  const io::ReadFile& file_;
  const EndRecord& end_;
  FindingList* list_;
  Archive* archive_;
  Window window_;
  std::vector<std::size_t> order_;
  std::vector<std::uint64_t> plan_end_;
};

}  // namespace

Status read_local_headers(const io::ReadFile& file, const EndRecord& end, FindingList* list,
                          Archive* archive) {
  return LocalReader(file, end, list, archive).run();
}

}  // namespace kilter::zip
