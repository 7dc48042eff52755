#include "io/s3/replies.h"

#include <fmt/format.h>

#include <charconv>

#include "base/try.h"
#include "io/s3/http_time.h"
#include "io/s3/uri.h"
#include "io/s3/xml.h"
#include "io/s3/xml_text.h"

namespace kilter::io::s3 {
namespace {

Result<XmlElement> parse_reply(std::string_view text, std::string_view root) {
  KILTER_ASSIGN(XmlElement element, parse_xml(text));
  if (element.name != root)
    return fail(Error(ErrorCode::kMalformed, "the server's answer is of another kind")
                    .wanted(std::string(root), element.name));
  return element;
}

/// Keys are encoded where the answer says so: XML cannot carry every character.
Result<std::string> decoded(const XmlElement& root, std::string_view text) {
  if (root.text_of("EncodingType") == "url") return form_decode(text);
  return std::string(text);
}

Result<std::string> required(const XmlElement& element, std::string_view name) {
  const std::string_view text = element.text_of(name);
  if (text.empty())
    return fail(ErrorCode::kMalformed, fmt::format("the server's answer has no {}", name));
  return std::string(text);
}

Result<ObjectInfo> parse_object(const XmlElement& root, const XmlElement& entry) {
  ObjectInfo info;
  KILTER_ASSIGN(info.name, decoded(root, entry.text_of("Key")));
  if (info.name.empty()) return fail(ErrorCode::kMalformed, "an object without a key");
  KILTER_ASSIGN(info.bytes, parse_count(entry.text_of("Size")));
  info.etag = entry.text_of("ETag");
  info.modified_unix_seconds = parse_iso_date(entry.text_of("LastModified")).value_or(0);
  return info;
}

}  // namespace

ErrorReply parse_error_reply(std::string_view text) {
  const auto element = parse_xml(text, {.bytes_max = 1U << 20U, .elements_max = 100});
  if (!element || element->name != "Error") return {};
  return {.code = std::string(element->text_of("Code")),
          .message = std::string(element->text_of("Message")),
          .region = std::string(element->text_of("Region")),
          .endpoint = std::string(element->text_of("Endpoint"))};
}

Result<ListPage> parse_list_page(std::string_view text) {
  KILTER_ASSIGN(const XmlElement root, parse_reply(text, "ListBucketResult"));
  ListPage page;
  for (const XmlElement& entry : root.children) {
    if (entry.name != "Contents") continue;
    KILTER_ASSIGN(ObjectInfo info, parse_object(root, entry));
    page.objects.push_back(std::move(info));
  }
  if (root.text_of("IsTruncated") == "true") {
    KILTER_ASSIGN(page.next_token, required(root, "NextContinuationToken"));
  }
  return page;
}

Result<UploadPage> parse_upload_page(std::string_view text) {
  KILTER_ASSIGN(const XmlElement root, parse_reply(text, "ListMultipartUploadsResult"));
  UploadPage page;
  for (const XmlElement& entry : root.children) {
    if (entry.name != "Upload") continue;
    UploadEntry upload;
    KILTER_ASSIGN(upload.key, decoded(root, entry.text_of("Key")));
    KILTER_ASSIGN(upload.upload_id, required(entry, "UploadId"));
    upload.begun_unix_seconds = parse_iso_date(entry.text_of("Initiated")).value_or(0);
    page.uploads.push_back(std::move(upload));
  }
  if (root.text_of("IsTruncated") == "true") {
    KILTER_ASSIGN(page.next_key, decoded(root, root.text_of("NextKeyMarker")));
    KILTER_ASSIGN(page.next_upload_id, required(root, "NextUploadIdMarker"));
  }
  return page;
}

Result<std::string> parse_upload_id(std::string_view text) {
  KILTER_ASSIGN(const XmlElement root, parse_reply(text, "InitiateMultipartUploadResult"));
  return required(root, "UploadId");
}

Result<std::string> parse_completed_etag(std::string_view text) {
  KILTER_ASSIGN(const XmlElement root, parse_reply(text, "CompleteMultipartUploadResult"));
  return required(root, "ETag");
}

std::string complete_upload_xml(const std::vector<PartDone>& parts) {
  std::string out = "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">";
  for (std::size_t i = 0; i < parts.size(); ++i) {
    out += fmt::format("<Part><PartNumber>{}</PartNumber><ETag>{}</ETag>", i + 1,
                       xml_escape(parts[i].etag));
    if (!parts[i].sha256_base64.empty())
      out += fmt::format("<ChecksumSHA256>{}</ChecksumSHA256>", xml_escape(parts[i].sha256_base64));
    out += "</Part>";
  }
  return out + "</CompleteMultipartUpload>";
}

Result<std::uint64_t> parse_count(std::string_view digits) {
  std::uint64_t value = 0;
  const char* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, value);
  if (digits.empty() || error != std::errc() || stop != end || digits[0] == '-')
    return fail(Error(ErrorCode::kMalformed, "the server states no count of bytes")
                    .wanted("digits", std::string(digits.substr(0, 40))));
  return value;
}

}  // namespace kilter::io::s3
