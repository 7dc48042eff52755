#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "base/byte_reader.h"
#include "base/text.h"
#include "formats/foreign.h"
#include "formats/format.h"
#include "formats/safetensors/header.h"
#include "formats/tensorflow/tensorflow_format.h"

namespace kilter::formats {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view kLfsVersion = "version https://git-lfs.github.com/spec/";
constexpr std::uint64_t kSampleBytes = 64 << 10;
constexpr std::uint64_t kSampleCount = 64;

bool all_zero(Bytes bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

std::string_view skip_space(std::string_view text) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  return text.substr(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
}

/// The number after "size " in a Git LFS pointer.
std::optional<std::uint64_t> lfs_size(std::string_view text) {
  const std::size_t at = text.find("\nsize ");
  if (at == std::string_view::npos) return std::nullopt;
  std::uint64_t size = 0;
  const char* begin = text.data() + at + 6;
  const auto [end, code] = std::from_chars(begin, text.data() + text.size(), size);
  if (code != std::errc() || end == begin) return std::nullopt;
  return size;
}

std::optional<Diagnosis> find_lfs_pointer(std::string_view text, std::uint64_t bytes) {
  if (!text.starts_with(kLfsVersion)) return std::nullopt;
  Diagnosis out;
  out.kind = "lfs-pointer";
  const auto size = lfs_size(text);
  out.message = "this is a Git LFS pointer, not the file itself";
  if (size) {
    out.message += fmt::format("; the real file has {} ({} bytes)", format_bytes(*size), *size);
    if (*size > bytes) out.missing_bytes = *size - bytes;
  }
  out.hint = "run `git lfs pull` in the repository, or download the file through the model page";
  return out;
}

std::optional<Diagnosis> find_error_page(std::string_view text, std::uint64_t bytes) {
  const std::string start = ascii_lower(skip_space(text).substr(0, 512));
  if (start.starts_with("<!doctype html") || start.starts_with("<html") ||
      (start.starts_with("<") && start.find("<html") != std::string::npos))
    return Diagnosis{"html", "this is an HTML page, not a checkpoint",
                     "the download saved a web page (a login, licence or error page): open the "
                     "address in a browser, then download with the access it asks for",
                     std::nullopt};
  if (start.starts_with("<?xml") || start.starts_with("<error>"))
    return Diagnosis{"xml",
                     "this is an XML document, not a checkpoint: often a storage service's "
                     "error message",
                     "read it as text, then download again", std::nullopt};
  constexpr std::uint64_t kErrorPageBytesMax = 64 << 10;
  if (bytes <= kErrorPageBytesMax && start.starts_with("{") &&
      (start.find("\"error\"") != std::string::npos ||
       start.find("\"message\"") != std::string::npos ||
       start.find("\"detail\"") != std::string::npos))
    return Diagnosis{"json-error",
                     "this is a JSON error message, not a checkpoint: " +
                         escape_text(skip_space(text).substr(0, 200), 200),
                     "download the file again with the access the message asks for", std::nullopt};
  return std::nullopt;
}

/// Zero-filled: the ends and evenly spread samples between them. Small files are read whole.
bool is_zero_filled(io::FileSystem& files, const Probe& probe) {
  if (probe.bytes == 0 || !all_zero(probe.head) || !all_zero(probe.tail)) return false;
  if (probe.bytes <= kProbeHeadBytes) return true;
  const auto file = files.open_read(probe.path);
  if (!file) return false;
  std::vector<std::byte> sample(kSampleBytes);
  const std::uint64_t last = probe.bytes - kSampleBytes;
  for (std::uint64_t i = 1; i < kSampleCount; ++i) {
    const std::uint64_t at = last / kSampleCount * i;
    if (!(*file)->read_at(at, sample) || !all_zero(sample)) return false;
  }
  return true;
}

struct Mangled {
  std::string_view magic;    // as it should be
  std::string_view mangled;  // as a text-mode transfer leaves it
  std::string_view what;
};

// U+FFFD is EF BF BD. Magics as their formats define them.
constexpr std::array kMangled = {
    Mangled{"\x93NUMPY", "\xef\xbf\xbdNUMPY"sv,
            "a numpy array whose bytes were replaced as invalid UTF-8"},
    Mangled{"\x93NUMPY", "\xc2\x93NUMPY"sv, "a numpy array re-encoded from Latin-1 to UTF-8"},
    Mangled{"\x89HDF", "\xef\xbf\xbdHDF"sv,
            "an HDF5 file whose bytes were replaced as invalid UTF-8"},
    Mangled{"\x89HDF", "\xc2\x89HDF"sv, "an HDF5 file re-encoded from Latin-1 to UTF-8"},
    Mangled{"\x80\x02", "\xef\xbf\xbd\x02"sv,
            "a pickle whose bytes were replaced as invalid UTF-8"},
    Mangled{"\x80\x04", "\xef\xbf\xbd\x04"sv,
            "a pickle whose bytes were replaced as invalid UTF-8"},
    Mangled{"\x80\x02", "\xc2\x80\x02"sv, "a pickle re-encoded from Latin-1 to UTF-8"},
    Mangled{"\x80\x04", "\xc2\x80\x04"sv, "a pickle re-encoded from Latin-1 to UTF-8"},
};

std::size_t count_of(std::string_view text, std::string_view part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string_view::npos;
       at = text.find(part, at + part.size()))
    ++count;
  return count;
}

/// Binary data has bare LF bytes and bytes that are no UTF-8; text-mode transfers take them away.
std::optional<std::string> text_damage(std::string_view head) {
  for (const Mangled& row : kMangled)
    if (head.starts_with(row.mangled)) return "this was " + std::string(row.what);
  const bool known = head.starts_with("PK\x03\x04") || head.starts_with("\x80\x02") ||
                     head.starts_with("\x93NUMPY") || head.substr(0, 512).find('\0') != head.npos;
  if (!known || head.size() < 4096) return std::nullopt;
  const std::size_t replaced = count_of(head, "\xef\xbf\xbd");
  if (replaced > head.size() / 64)
    return fmt::format(
        "its bytes were replaced as invalid UTF-8 ({} replacement characters in the "
        "first {} bytes)",
        replaced, head.size());
  const std::size_t feeds = count_of(head, "\n"), pairs = count_of(head, "\r\n");
  if (feeds >= 16 && feeds == pairs)
    return fmt::format(
        "every line feed in it follows a carriage return ({} in the first {} bytes), "
        "as after a text-mode (CRLF) transfer",
        feeds, head.size());
  return std::nullopt;
}

std::optional<Diagnosis> find_text_damage(std::string_view head) {
  const auto damage = text_damage(head);
  if (!damage) return std::nullopt;
  return Diagnosis{"text-mangled", *damage + ": the content is damaged beyond repair",
                   "transfer the file again in binary mode (git: mark it `binary` or use LFS)",
                   std::nullopt};
}

/// A zip whose beginning is there and whose end is not.
std::optional<Diagnosis> find_cut_zip(const Probe& probe) {
  const std::string_view head = as_text(Bytes(probe.head));
  if (!head.starts_with("PK\x03\x04")) return std::nullopt;
  if (as_text(Bytes(probe.tail)).rfind("PK\x05\x06") != std::string_view::npos) return std::nullopt;
  return Diagnosis{"truncated",
                   "the file begins as a zip archive and ends without its central directory: the "
                   "download or save was cut off",
                   "fetch the file again, or keep what is whole with `kilter verify --rescue DST`",
                   std::nullopt};
}

/// Whose header is whole and says that there should be more data than there is.
std::optional<Diagnosis> find_cut_data(io::FileSystem& files, const Probe& probe) {
  constexpr std::uint64_t kHeaderBytesMax = 100'000'000;
  const auto file = files.open_read(probe.path);
  if (!file) return std::nullopt;
  const auto header = safetensors::read_header(**file, kHeaderBytesMax);
  if (!header || header->missing_bytes == 0) return std::nullopt;
  const auto whole = std::count_if(header->entries.begin(), header->entries.end(),
                                   [](const auto& entry) { return entry.usable; });
  return Diagnosis{"truncated",
                   fmt::format("the safetensors file is cut off: {} bytes are missing; {} of {} "
                               "tensors are whole",
                               header->missing_bytes, whole, header->entries.size()),
                   "fetch the file again, or keep what is whole with `kilter verify --rescue DST`",
                   header->missing_bytes};
}

std::optional<Diagnosis> find_cut_safetensors(io::FileSystem& files, const Probe& probe) {
  const std::string_view head = as_text(Bytes(probe.head));
  if (head.size() < 10 || head.substr(8, 2) != "{\"") return std::nullopt;
  const std::uint64_t header_bytes = ByteReader(probe.head).u64_le().value_or(0);
  if (header_bytes > 100'000'000) return std::nullopt;
  if (header_bytes <= probe.bytes - 8) return find_cut_data(files, probe);
  const std::uint64_t missing = header_bytes - (probe.bytes - 8);
  return Diagnosis{
      "truncated",
      fmt::format("the file is cut off inside its safetensors header: at least {} bytes "
                  "are missing",
                  missing),
      "fetch the file again", missing};
}

std::optional<Diagnosis> find_plain_text(std::string_view head, std::uint64_t bytes) {
  std::string_view start = head.substr(0, 1024);
  // The cut may fall inside a character.
  while (start.size() > 1020 && !is_valid_utf8(start)) start.remove_suffix(1);
  if (head.find('\0') != std::string_view::npos || !is_valid_utf8(start)) return std::nullopt;
  return Diagnosis{"text",
                   fmt::format("this is a text file ({}), not a checkpoint: \"{}\"",
                               format_bytes(bytes), escape_text(head.substr(0, 60), 60)),
                   "give the path of the weights, or of the whole model folder", std::nullopt};
}

std::optional<Diagnosis> diagnose_folder(const Probe& probe) {
  if (probe.entry_names.empty())
    return Diagnosis{"empty-folder", "the folder is empty", "download the model into it first",
                     std::nullopt};
  return std::nullopt;
}

}  // namespace

std::optional<Diagnosis> diagnose(io::FileSystem& files, const Probe& probe) {
  if (probe.is_folder) return diagnose_folder(probe);
  if (probe.bytes == 0)
    return Diagnosis{"empty", "the file is empty", "fetch or save it again", std::nullopt};
  const std::string_view head = as_text(Bytes(probe.head));
  if (auto found = find_lfs_pointer(head, probe.bytes)) return found;
  if (is_zero_filled(files, probe))
    return Diagnosis{
        "zero-filled",
        fmt::format("the file is filled with zeros ({}): its content was never written",
                    format_bytes(probe.bytes)),
        "a crash or a full disk cut the save or download short: fetch or save it again",
        std::nullopt};
  if (auto found = find_error_page(head, probe.bytes)) return found;
  if (auto found = find_text_damage(head)) return found;
  if (auto found = find_cut_zip(probe)) return found;
  if (auto found = find_cut_safetensors(files, probe)) return found;
  if (const auto name = foreign_format(probe))
    return Diagnosis{"foreign", fmt::format("known format Kilter does not read yet: {}", *name),
                     "convert it to safetensors with its own tools first", std::nullopt};
  if (is_bundle_data(files, probe.path))
    return Diagnosis{"tensorflow-data",
                     "this is a data file of a TensorFlow checkpoint: its index says what it holds",
                     fmt::format("open {}.index", *prefix_of_data(probe.path)), std::nullopt};
  return find_plain_text(head, probe.bytes);
}

}  // namespace kilter::formats
