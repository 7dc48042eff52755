#include "io/s3/xml_text.h"

#include <array>
#include <charconv>
#include <optional>
#include <utility>

namespace kilter::io::s3 {
namespace {

constexpr std::size_t kEntityCharsMax = 10;  // "#x10FFFF" and two to spare

constexpr std::array<std::pair<std::string_view, char>, 5> kEntities = {
    {{"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}}};

/// The Char production of XML 1.0.
bool is_xml_char(std::uint32_t code) {
  return code == 0x9 || code == 0xA || code == 0xD || (code >= 0x20 && code <= 0xD7FF) ||
         (code >= 0xE000 && code <= 0xFFFD) || (code >= 0x10000 && code <= 0x10FFFF);
}

void append_utf8(std::string& out, std::uint32_t code) {
  const auto tail = [&out, code](unsigned shift) {
    out += static_cast<char>(0x80U | ((code >> shift) & 0x3FU));
  };
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0U | (code >> 6U));
    tail(0);
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0U | (code >> 12U));
    tail(6);
    tail(0);
  } else {
    out += static_cast<char>(0xF0U | (code >> 18U));
    tail(12);
    tail(6);
    tail(0);
  }
}

std::optional<std::uint32_t> reference(std::string_view entity) {  // "#10" or "#xA"
  const bool hex = entity.starts_with("#x");
  entity.remove_prefix(hex ? 2 : 1);
  std::uint32_t code = 0;
  const char* end = entity.data() + entity.size();
  const auto [stop, error] = std::from_chars(entity.data(), end, code, hex ? 16 : 10);
  if (error != std::errc() || stop != end || !is_xml_char(code)) return std::nullopt;
  return code;
}

bool append_entity(std::string& out, std::string_view entity) {
  if (entity.starts_with('#')) {
    const auto code = reference(entity);
    if (code) append_utf8(out, *code);
    return code.has_value();
  }
  for (const auto& [name, value] : kEntities) {
    if (name != entity) continue;
    out += value;
    return true;
  }
  return false;
}

}  // namespace

Result<std::string> xml_text(std::string_view raw) {
  std::string out;
  out.reserve(raw.size());
  while (!raw.empty()) {
    const char c = raw.front();
    raw.remove_prefix(1);
    if (c != '&') {
      if (!is_xml_char(static_cast<unsigned char>(c)))  // bytes above 0x7F: UTF-8, checked before
        return fail(ErrorCode::kMalformed, "a control character");
      out += c;
      continue;
    }
    const auto end = raw.substr(0, kEntityCharsMax + 1).find(';');
    if (end == raw.npos || !append_entity(out, raw.substr(0, end)))
      return fail(ErrorCode::kMalformed, "an unknown entity");
    raw.remove_prefix(end + 1);
  }
  return out;
}

std::string xml_escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

}  // namespace kilter::io::s3
