#include "io/safe_path.h"

#include <algorithm>
#include <array>

#include "base/try.h"

namespace kilter::io {
namespace {

// Names that Windows gives to devices, with or without an extension. COM and LPT take a digit,
// also a superscript one.
// Source: learn.microsoft.com, "Naming Files, Paths, and Namespaces".
constexpr std::array<std::string_view, 6> kDevices = {"con", "prn",    "aux",
                                                      "nul", "conin$", "conout$"};
constexpr std::array<std::string_view, 2> kNumberedDevices = {"com", "lpt"};
constexpr std::array<std::string_view, 13> kDeviceDigits = {
    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "\xc2\xb9", "\xc2\xb2", "\xc2\xb3"};

bool is_device(std::string_view part) {
  // Most names are none of them by their first letter: archives have many thousands.
  if (std::string_view("cpanlCPANL").find(part.front()) == std::string_view::npos) return false;
  std::string stem(part.substr(0, part.find_first_of(".:")));
  stem.erase(stem.find_last_not_of(' ') + 1);  // "NUL .txt" is the device too
  std::ranges::transform(stem, stem.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  if (std::ranges::find(kDevices, stem) != kDevices.end()) return true;
  return std::ranges::any_of(kNumberedDevices, [&](std::string_view device) {
    return stem.starts_with(device) &&
           std::ranges::find(kDeviceDigits, std::string_view(stem).substr(3)) !=
               kDeviceDigits.end();
  });
}

bool is_control(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte < 0x20 || byte == 0x7f;
}

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/// Why one part is refused; empty if it is fine.
std::string_view part_fault(std::string_view part) {
  if (part.empty()) return "it has an empty part";
  if (part == ".") return "it has a \".\" part";
  if (part == "..") return "it has a \"..\" part";
  if (part.back() == '.') return "a part ends in a dot";
  if (part.back() == ' ') return "a part ends in a space";
  if (part.size() > 255) return "a part is longer than 255 bytes";
  if (is_device(part)) return "it names a Windows device";
  return {};
}

std::string_view whole_fault(std::string_view name) {
  if (name.empty()) return "it is empty";
  if (name.size() > 4095) return "it is longer than 4095 bytes";
  if (name.find('\0') != std::string_view::npos) return "it contains a NUL byte";
  if (std::ranges::any_of(name, is_control)) return "it contains a control character";
  if (name.starts_with("\\\\") || name.starts_with("//")) return "it is a network (UNC) path";
  if (name.front() == '/') return "it is an absolute path";
  if (name.size() >= 2 && name[1] == ':' && is_letter(name[0])) return "it has a drive letter";
  if (name.find('\\') != std::string_view::npos) return "it contains a backslash";
  return {};
}

std::string_view name_fault(std::string_view name) {
  if (const std::string_view fault = whole_fault(name); !fault.empty()) return fault;
  while (true) {
    const std::size_t slash = name.find('/');
    if (const auto fault = part_fault(name.substr(0, slash)); !fault.empty()) return fault;
    if (slash == std::string_view::npos) return {};
    name.remove_prefix(slash + 1);
  }
}

}  // namespace

Status check_relative_name(std::string_view name) {
  const std::string_view fault = name_fault(name);
  if (fault.empty()) return ok();
  Error error(ErrorCode::kUnsafe, "the file name is refused: " + std::string(fault));
  // The path stays empty: the caller knows which file states the name.
  return fail(std::move(error).wanted("a relative name that stays in its folder",
                                      '"' + std::string(name) + '"'));
}

Result<std::unique_ptr<ReadFile>> open_beneath(FileSystem& files, const std::string& root,
                                               std::string_view name) {
  if (auto checked = check_relative_name(name); !checked)
    return fail(std::move(checked).error().at_path(root));
  return files.open_read_beneath(root, std::string(name));
}

}  // namespace kilter::io
