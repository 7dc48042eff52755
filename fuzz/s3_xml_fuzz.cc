// What an S3 server says: errors, listings and uploads in XML, ranges and dates in headers. Nothing
// breaks, and what parses keeps the promises of xml.h.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "base/text.h"
#include "io/s3/http_time.h"
#include "io/s3/profile.h"
#include "io/s3/read.h"
#include "io/s3/replies.h"
#include "io/s3/xml.h"
#include "io/s3/xml_text.h"

namespace {

using kilter::io::s3::XmlElement;

void check_tree(const XmlElement& root, std::uint32_t depth_max) {
  std::vector<std::pair<const XmlElement*, std::uint32_t>> open{{&root, 1}};
  while (!open.empty()) {
    const auto [element, depth] = open.back();
    open.pop_back();
    if (depth > depth_max || element->name.empty()) std::abort();
    if (!kilter::is_valid_utf8(element->text)) std::abort();
    if (!element->children.empty() && !element->text.empty()) std::abort();
    const auto again = kilter::io::s3::xml_text(kilter::io::s3::xml_escape(element->text));
    if (!again || *again != element->text) std::abort();
    for (const XmlElement& child : element->children) open.emplace_back(&child, depth + 1);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace s3 = kilter::io::s3;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const s3::XmlLimits limits{.bytes_max = 1U << 16U, .elements_max = 1000, .depth_max = 5};
  if (const auto root = s3::parse_xml(text, limits)) check_tree(*root, limits.depth_max);
  static_cast<void>(s3::parse_error_reply(text));
  if (const auto page = s3::parse_list_page(text))
    for (const auto& object : page->objects)
      if (object.name.empty()) std::abort();
  static_cast<void>(s3::parse_upload_page(text));
  static_cast<void>(s3::parse_upload_id(text));
  static_cast<void>(s3::parse_completed_etag(text));
  if (const auto range = s3::parse_content_range(text))
    if (range->last < range->first || range->last >= range->total) std::abort();
  static_cast<void>(s3::parse_http_date(text));
  static_cast<void>(s3::parse_iso_date(text));
  static_cast<void>(s3::parse_profile_file(text));
  return 0;
}
