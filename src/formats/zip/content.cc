#include "formats/zip/content.h"

#include <algorithm>
#include <array>

#include "formats/tar/archive.h"

namespace kilter::zip {
namespace {

struct Magic {
  std::string_view bytes;
  Content content;
  std::string_view title;
};

using namespace std::string_view_literals;

// Sources: the formats' own specifications.
constexpr std::array kMagics = {
    Magic{"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"sv, Content::kLegacyTorch,
          "torch stream"},
    Magic{"\x93NUMPY"sv, Content::kNumpy, "numpy array"},
    Magic{"PK\3\4"sv, Content::kZip, "zip archive"},
    Magic{"PK\5\6"sv, Content::kZip, "zip archive"},
    Magic{"\x7f"
          "ELF"sv,
          Content::kProgram, "ELF program"},
    Magic{"\xcf\xfa\xed\xfe"sv, Content::kProgram, "Mach-O program"},
    Magic{"\xce\xfa\xed\xfe"sv, Content::kProgram, "Mach-O program"},
    Magic{"\xca\xfe\xba\xbe"sv, Content::kProgram, "Mach-O or Java program"},
    Magic{"#!/"sv, Content::kProgram, "script"},
    Magic{"\x1f\x8b\x08"sv, Content::kPacked, "gzip file"},
    Magic{"BZh"sv, Content::kPacked, "bzip2 file"},
    Magic{"\xfd"
          "7zXZ\0"sv,
          Content::kPacked, "xz file"},
    Magic{"\x28\xb5\x2f\xfd"sv, Content::kPacked, "zstd file"},
    Magic{"7z\xbc\xaf\x27\x1c"sv, Content::kPacked, "7z archive"},
    Magic{"Rar!\x1a\x07"sv, Content::kPacked, "rar archive"},
};

const Magic* magic_of(std::string_view head) {
  const auto* found = std::find_if(kMagics.begin(), kMagics.end(), [head](const Magic& magic) {
    return head.starts_with(magic.bytes);
  });
  return found == kMagics.end() ? nullptr : found;
}

std::uint8_t byte_at(std::string_view text, std::size_t i) {
  return static_cast<std::uint8_t>(text[i]);
}

/// MZ with the offset of a PE header inside the file's first pages.
bool is_windows_program(std::string_view head) {
  if (!head.starts_with("MZ") || head.size() < 64) return false;
  const std::size_t at = byte_at(head, 60) | static_cast<std::size_t>(byte_at(head, 61)) << 8;
  return head.size() < at + 4 || head.substr(at, 4) == "PE\0\0"sv;
}

/// Protocols 2 to 5 say so.
bool is_pickle(std::string_view head) {
  return head.size() >= 2 && byte_at(head, 0) == 0x80 && byte_at(head, 1) <= 5;
}

/// Protocols 0 and 1 have no mark of their own: only running the opcodes tells.
bool may_be_pickle(std::string_view head) {
  constexpr std::string_view kOpeners = "(c]})lditSTUVXBCFGIJKLMN\x85\x88\x89\x8a\x8b\x8c";
  return !head.empty() && kOpeners.find(head[0]) != std::string_view::npos;
}

}  // namespace

bool is_storage_name(std::string_view name) {
  const std::size_t slash = name.rfind('/');
  if (slash == std::string_view::npos || slash + 1 == name.size()) return false;
  const std::string_view folder = name.substr(0, slash);
  if (!folder.ends_with("data") && !folder.ends_with("constants")) return false;
  return std::all_of(name.begin() + static_cast<std::ptrdiff_t>(slash) + 1, name.end(),
                     [](char c) { return c >= '0' && c <= '9'; });
}

Content content_of(Bytes head, std::string_view name) {
  const std::string_view text = as_text(head);
  if (const Magic* magic = magic_of(text)) return magic->content;
  if (is_windows_program(text)) return Content::kProgram;
  if (tar::is_header(head)) return Content::kTar;
  if (name.ends_with(".pyc") || name.ends_with(".so") || name.ends_with(".dll"))
    return Content::kProgram;
  if (name.ends_with(".py")) return Content::kProgram;
  if (is_pickle(text)) return Content::kPickle;
  if (may_be_pickle(text)) return Content::kMaybePickle;
  return Content::kPlain;
}

std::string_view content_title(Bytes head, std::string_view name) {
  if (const Magic* magic = magic_of(as_text(head))) return magic->title;
  switch (content_of(head, name)) {
    case Content::kProgram:
      return name.ends_with(".py") ? "Python source" : "program";
    case Content::kTar:
      return "tar archive";
    case Content::kPickle:
      return "pickle";
    default:
      return "";
  }
}

}  // namespace kilter::zip
