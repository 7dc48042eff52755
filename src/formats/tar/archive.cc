#include "formats/tar/archive.h"

#include <algorithm>
#include <array>
#include <unordered_map>

#include "base/checked.h"
#include "base/text.h"
#include "base/try.h"
#include "formats/zip/finding_list.h"
#include "io/safe_path.h"

namespace kilter::tar {
namespace {

using zip::cat;
using zip::FindingList;

constexpr std::size_t kChecksumAt = 148;
constexpr std::size_t kChecksumBytes = 8;

/// Text up to the first NUL.
std::string_view text_field(Bytes block, std::size_t at, std::size_t count) {
  const std::string_view field = as_text(block.subspan(at, count));
  return field.substr(0, std::min(field.find('\0'), field.size()));
}

/// Octal digits, or GNU's big-endian binary where the top bit is set.
std::optional<std::uint64_t> number_field(Bytes block, std::size_t at, std::size_t count) {
  const Bytes field = block.subspan(at, count);
  std::uint64_t value = 0;
  if ((static_cast<unsigned>(field[0]) & 0x80U) != 0) {
    for (std::size_t i = 0; i < count; ++i) {
      const auto byte = static_cast<std::uint64_t>(field[i]) & (i == 0 ? 0x7fU : 0xffU);
      if (value >> 56 != 0) return std::nullopt;
      value = value << 8 | byte;
    }
    return value;
  }
  std::string_view digits = as_text(field);
  while (!digits.empty() && digits.front() == ' ') digits.remove_prefix(1);
  for (const char c : digits) {
    if (c == '\0' || c == ' ') break;
    if (c < '0' || c > '7' || value >> 60 != 0) return std::nullopt;
    value = value * 8 + static_cast<std::uint64_t>(c - '0');
  }
  return value;
}

bool all_zero(Bytes block) {
  return std::all_of(block.begin(), block.end(), [](std::byte b) { return b == std::byte{0}; });
}

MemberKind kind_of(char type) {
  switch (type) {
    case '0':
    case '\0':
    case '7':
      return MemberKind::kFile;
    case '1':
    case '2':
      return MemberKind::kLink;
    case '3':
    case '4':
    case '6':
      return MemberKind::kDevice;
    case '5':
      return MemberKind::kFolder;
    default:
      return MemberKind::kOther;
  }
}

/// What pax and GNU records say about the member that follows them.
struct Overrides {
  std::optional<std::string> name;
  std::optional<std::string> link;
  std::optional<std::uint64_t> bytes;
};

/// "LENGTH KEY=VALUE\n" records. Source: POSIX pax, "pax Extended Header".
void read_pax(std::string_view text, Overrides* out) {
  while (!text.empty()) {
    std::uint64_t length = 0;
    std::size_t at = 0;
    for (; at < text.size() && text[at] >= '0' && text[at] <= '9' && at < 10; ++at)
      length = length * 10 + static_cast<std::uint64_t>(text[at] - '0');
    if (at >= text.size() || text[at] != ' ' || length <= at + 1 || length > text.size()) return;
    std::string_view record = text.substr(at + 1, static_cast<std::size_t>(length) - at - 1);
    text.remove_prefix(static_cast<std::size_t>(length));
    if (!record.empty() && record.back() == '\n') record.remove_suffix(1);
    const std::size_t equals = record.find('=');
    if (equals == std::string_view::npos) return;
    const std::string_view key = record.substr(0, equals);
    const std::string_view value = record.substr(equals + 1);
    if (key == "path") out->name = std::string(value);
    if (key == "linkpath") out->link = std::string(value);
    if (key == "size") {
      std::uint64_t bytes = 0;
      for (const char c : value) {
        if (c < '0' || c > '9' || bytes > (1ULL << 59)) return;
        bytes = bytes * 10 + static_cast<std::uint64_t>(c - '0');
      }
      out->bytes = bytes;
    }
  }
}

class Reader {
 public:
  Reader(const io::ReadFile& file, const Limits& limits, Archive* archive)
      : file_(file),
        limits_(limits),
        archive_(archive),
        list_(&archive->findings, limits.finding_count_max, file.path()) {}

  Status run() {
    while (at_ < file_.bytes()) {
      KILTER_ASSIGN(const bool more, step());
      if (!more) break;
    }
    if (!archive_->ended && !broken_)
      list_.add("tar.no-end", Severity::kMalformed, "",
                "the archive ends without its two zero blocks: it may be cut off", {}, at_);
    judge_duplicates();
    return ok();
  }

 private:
  /// One header. False at the end of the archive.
  Result<bool> step() {
    if (!range_fits(at_, kBlockBytes, file_.bytes())) return false;
    std::array<std::byte, kBlockBytes> block;
    KILTER_TRY(file_.read_at(at_, block));
    if (all_zero(block)) return end();
    if (!is_header(block)) return bad_header();
    if (archive_->members.size() >= limits_.member_count_max)
      return fail(Error(ErrorCode::kLimitExceeded, "the tar archive has too many members")
                      .at_path(file_.path()));
    const auto stated = number_field(block, 124, 12);
    if (!stated) return bad_header();
    const char type = static_cast<char>(block[156]);
    const std::uint64_t header_at = at_;
    if (type == 'x' || type == 'L' || type == 'K' || type == 'g') {
      KILTER_TRY(read_extension(type, *stated));
      return true;
    }
    Member member;
    member.header_offset_bytes = header_at;
    member.data_offset_bytes = header_at + kBlockBytes;
    member.kind = kind_of(type);
    member.bytes = next_.bytes.value_or(*stated);
    if (member.kind != MemberKind::kFile && member.kind != MemberKind::kOther) member.bytes = 0;
    member.name = next_.name.value_or(plain_name(block));
    member.link = next_.link.value_or(std::string(text_field(block, 157, 100)));
    next_ = {};
    member.data_fits = range_fits(member.data_offset_bytes, member.bytes, file_.bytes());
    judge(member);
    const bool fits = member.data_fits;
    const std::uint64_t end = member.data_offset_bytes + member.bytes;
    archive_->members.push_back(std::move(member));
    if (!fits) return broken_ = true, false;
    at_ = round_up(end, kBlockBytes);
    return true;
  }

  Result<bool> end() {
    archive_->ended = true;
    std::uint64_t rest = at_;
    std::vector<std::byte> chunk;
    while (rest < file_.bytes()) {
      chunk.resize(
          static_cast<std::size_t>(std::min<std::uint64_t>(1 << 20, file_.bytes() - rest)));
      KILTER_TRY(file_.read_at(rest, chunk));
      if (!all_zero(chunk)) {
        list_.add("tar.trailing-bytes", Severity::kSuspicious, "",
                  "bytes follow the end of the archive", {}, rest);
        break;
      }
      rest += chunk.size();
    }
    return false;
  }

  Result<bool> bad_header() {
    broken_ = true;
    if (archive_->members.empty())
      return fail(Error(ErrorCode::kMalformed, "no tar header where one is due")
                      .at_path(file_.path())
                      .at_offset(at_));
    list_.add("tar.bad-header", Severity::kMalformed, "",
              "no header with a sound checksum where one is due", {}, at_);
    return false;
  }

  Status read_extension(char type, std::uint64_t count) {
    const std::uint64_t data_at = at_ + kBlockBytes;
    if (!range_fits(data_at, count, file_.bytes())) {
      list_.add("tar.truncated-member", Severity::kMalformed, "",
                "a record of long names ends past the end of the file", {}, at_);
      at_ = file_.bytes();
      broken_ = true;
      return ok();
    }
    at_ = round_up(data_at + count, kBlockBytes);
    if (count > limits_.long_name_bytes_max)
      return fail(Error(ErrorCode::kLimitExceeded, "a tar record of long names is too large")
                      .at_path(file_.path())
                      .at_offset(data_at)
                      .wanted(std::to_string(limits_.long_name_bytes_max) + " bytes at most",
                              std::to_string(count)));
    std::string text(static_cast<std::size_t>(count), '\0');
    KILTER_TRY(file_.read_at(data_at, std::as_writable_bytes(std::span(text))));
    if (type == 'x') read_pax(text, &next_);
    const std::string_view name = std::string_view(text).substr(0, text.find('\0'));
    if (type == 'L') next_.name = std::string(name);
    if (type == 'K') next_.link = std::string(name);
    return ok();
  }

  static std::string plain_name(Bytes block) {
    const std::string_view name = text_field(block, 0, 100);
    const bool ustar = as_text(block.subspan(257, 6)) == std::string_view("ustar\0", 6);
    const std::string_view prefix = ustar ? text_field(block, 345, 155) : std::string_view();
    return prefix.empty() ? std::string(name) : cat({prefix, "/", name});
  }

  void judge(const Member& member) {
    std::string_view name = member.name;
    while (name.starts_with("./")) name.remove_prefix(2);
    if (name.size() > 1 && name.back() == '/') name.remove_suffix(1);
    const bool here = name.empty() || name == ".";
    if (auto status = io::check_relative_name(name); !here && !status)
      list_.add("tar.unsafe-name", Severity::kDangerous, member.name,
                "the member's name could lead out of the folder it is unpacked to: " +
                    status.error().message,
                cat({"\"", escape_text(member.name, 200), "\""}), member.header_offset_bytes);
    if (member.kind == MemberKind::kLink)
      list_.add("tar.link", Severity::kDangerous, member.name,
                "the member is a link: unpacking it could lead later members out of the folder",
                cat({"points to \"", escape_text(member.link, 200), "\""}),
                member.header_offset_bytes);
    if (member.kind == MemberKind::kDevice)
      list_.add("tar.device", Severity::kDangerous, member.name, "the member is a device or pipe",
                {}, member.header_offset_bytes);
    if (member.kind == MemberKind::kOther)
      list_.add("tar.unknown-type", Severity::kUnknown, member.name,
                "the member's type is unknown; it was not looked at", {},
                member.header_offset_bytes);
    if (!member.data_fits)
      list_.add("tar.truncated-member", Severity::kMalformed, member.name,
                "the member's data ends past the end of the file",
                std::to_string(member.bytes) + " bytes stated", member.header_offset_bytes);
  }

  void judge_duplicates() {
    std::unordered_map<std::string_view, std::size_t> first;
    for (std::size_t i = 0; i < archive_->members.size(); ++i) {
      if (archive_->members[i].kind == MemberKind::kFolder) continue;
      const auto [seen, added] = first.try_emplace(archive_->members[i].name, i);
      if (added) continue;
      list_.add(
          "tar.duplicate-member", Severity::kDangerous, archive_->members[i].name,
          "two members have the same name: which one counts depends on the loader",
          cat({"headers at ", std::to_string(archive_->members[seen->second].header_offset_bytes),
               " and ", std::to_string(archive_->members[i].header_offset_bytes)}),
          archive_->members[i].header_offset_bytes);
    }
  }

  const io::ReadFile& file_;
  const Limits& limits_;
  Archive* archive_;
  FindingList list_;
  std::uint64_t at_ = 0;
  bool broken_ = false;
  Overrides next_;
};

std::string_view without_dot(std::string_view name) {
  while (name.starts_with("./")) name.remove_prefix(2);
  return name;
}

}  // namespace

std::optional<std::size_t> Archive::find(std::string_view name) const {
  for (std::size_t i = members.size(); i-- > 0;)
    if (without_dot(members[i].name) == name) return i;
  return std::nullopt;
}

bool is_header(Bytes block) {
  if (block.size() < kBlockBytes) return false;
  const auto stated = number_field(block, kChecksumAt, kChecksumBytes);
  std::uint64_t sum = 0;
  std::int64_t signed_sum = 0;  // early tars summed signed characters
  for (std::size_t i = 0; i < kBlockBytes; ++i) {
    const bool blank = i >= kChecksumAt && i < kChecksumAt + kChecksumBytes;
    const auto byte = blank ? std::uint8_t{' '} : static_cast<std::uint8_t>(block[i]);
    sum += byte;
    signed_sum += static_cast<std::int8_t>(byte);
  }
  if (!stated || block[0] == std::byte{0}) return false;
  return *stated == sum || (signed_sum >= 0 && *stated == static_cast<std::uint64_t>(signed_sum));
}

Result<Archive> read_archive(const io::ReadFile& file, const Limits& limits) {
  Archive archive;
  if (file.bytes() < kBlockBytes)
    return fail(Error(ErrorCode::kMalformed, "too short for a tar archive").at_path(file.path()));
  KILTER_TRY(Reader(file, limits, &archive).run());
  return archive;
}

}  // namespace kilter::tar
