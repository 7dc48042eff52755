#include "formats/zip/finding_list.h"

namespace kilter::zip {

std::string cat(std::initializer_list<std::string_view> parts) {
  std::string out;
  for (const std::string_view part : parts) out += part;
  return out;
}

std::string hex_text(std::uint64_t value) {
  char digits[16];
  std::size_t count = 0;
  do {
    digits[count++] = "0123456789abcdef"[value & 15];
    value >>= 4;
  } while (value != 0);
  std::string out = "0x";
  while (count > 0) out += digits[--count];
  return out;
}

void FindingList::add(std::string_view rule, Severity severity, std::string_view member,
                      std::string message, std::string evidence,
                      std::optional<std::uint64_t> offset_bytes) {
  if (++count_ > count_max_) {
    if (count_ > count_max_ + 1) return;
    Finding more;
    more.rule = "zip.too-many-findings";
    more.severity = Severity::kSuspicious;
    more.path = path_;
    more.message = "the archive has more faults than are listed (" + std::to_string(count_max_) +
                   "); the rest is left out";
    findings_->push_back(std::move(more));
    return;
  }
  Finding finding;
  finding.rule = rule;
  finding.severity = severity;
  finding.path = path_;
  if (!member.empty()) finding.path.append("!").append(member);
  finding.message = std::move(message);
  finding.evidence = std::move(evidence);
  finding.offset_bytes = offset_bytes;
  findings_->push_back(std::move(finding));
}

}  // namespace kilter::zip
