#include "formats/safetensors/safetensors_scan.h"

#include "base/byte_reader.h"
#include "base/text.h"

namespace kilter::safetensors {
namespace {

constexpr std::string_view kZipEndMagic = "PK\x05\x06";
constexpr std::size_t kZipEndBytes = 22;  // without the comment; APPNOTE 4.3.16
constexpr std::size_t kNameFindingsMax = 20;

void note_name(std::string_view name, std::string_view path, std::vector<Finding>* findings) {
  Finding finding;
  finding.rule = "safetensors.deceptive-name";
  finding.severity = Severity::kSuspicious;
  finding.path = path;
  finding.tensor = name;
  finding.message = "a name holds control, invisible or direction-changing characters";
  finding.evidence = escape_text(name, 200);
  findings->push_back(std::move(finding));
}

bool is_deceptive(std::string_view name) { return escape_text(name, name.size() + 1) != name; }

}  // namespace

void scan_header(const Header& header, std::string_view path, std::vector<Finding>* findings) {
  std::size_t count = 0;
  for (const Entry& entry : header.entries) {
    if (!is_deceptive(entry.name)) continue;
    note_name(entry.name, path, findings);
    if (++count == kNameFindingsMax) break;
  }
  for (const auto& [key, value] : header.metadata)
    if (is_deceptive(key)) note_name(key, path, findings);
}

void scan_polyglot(const formats::Probe& probe, std::vector<Finding>* findings) {
  const std::string_view tail = as_text(Bytes(probe.tail));
  for (std::size_t at = tail.rfind(kZipEndMagic); at != std::string_view::npos && at > 0;
       at = tail.rfind(kZipEndMagic, at - 1)) {
    if (tail.size() - at < kZipEndBytes) continue;
    const Bytes comment_length = Bytes(probe.tail).subspan(at + 20, 2);
    const std::size_t comment_bytes = ByteReader(comment_length).u16_le().value_or(0);
    if (at + kZipEndBytes + comment_bytes != tail.size()) continue;
    Finding finding;
    finding.rule = "safetensors.polyglot-zip";
    finding.severity = Severity::kSuspicious;
    finding.path = probe.path;
    finding.offset_bytes = probe.bytes - tail.size() + at;
    finding.message =
        "the file is also a zip archive: loaders that look at its end read another "
        "content than those that look at its beginning";
    finding.evidence = "end of a zip central directory, its comment ending where the file ends";
    finding.loaders = {"torch.load", "numpy.load", "zipfile"};
    findings->push_back(std::move(finding));
    return;
  }
}

}  // namespace kilter::safetensors
