#include "cli/findings.h"

#include <algorithm>
#include <cstdio>

#include "base/text.h"
#include "cli/wrap.h"

namespace kilter::cli {

namespace {

std::string where(const Finding& finding, const std::string& file_path) {
  std::string out;
  if (!finding.path.empty() && finding.path != file_path) {
    const bool member = finding.path.starts_with(file_path + "!");
    out = member ? finding.path.substr(file_path.size() + 1) : finding.path;
  }
  if (!finding.tensor.empty())
    out += (out.empty() ? "" : ", ") + std::string("tensor \"") + finding.tensor + "\"";
  if (finding.offset_bytes)
    out += (out.empty() ? "" : ", ") + std::string("offset ") + format_count(*finding.offset_bytes);
  return escape_text(out);
}

void print_row(const char* label, const std::string& text, const Style& style, std::size_t width) {
  if (text.empty()) return;
  const std::string body = wrap(text, width);
  std::printf("      %s", style.dim(padded(label, 10)).c_str());
  for (const char c : body) {
    std::putchar(c);
    if (c == '\n') std::fputs("                ", stdout);
  }
  std::putchar('\n');
}

}  // namespace

std::string severity_text(Severity severity, const Style& style) {
  switch (severity) {
    case Severity::kNote:
      return style.dim("note");
    case Severity::kUnknown:
      return style.warn("unknown");
    case Severity::kMalformed:
      return style.warn("malformed");
    case Severity::kSuspicious:
      return style.warn("suspicious");
    case Severity::kDangerous:
      return style.bad("dangerous");
  }
  return "";
}

void print_finding(const Finding& finding, const std::string& file_path, const Style& style,
                   int width_columns) {
  const auto width = static_cast<std::size_t>(std::clamp(width_columns, 60, 140) - 16);
  std::printf("    %s  %s\n", severity_text(finding.severity, style).c_str(),
              style.bold(finding.rule).c_str());
  print_row("what", escape_text(finding.message), style, width);
  print_row("where", where(finding, file_path), style, width);
  print_row("evidence", escape_text(finding.evidence), style, width);
  print_row("reached", escape_text(finding.reachable), style, width);
  std::string loaders;
  for (const std::string& loader : finding.loaders)
    loaders += (loaders.empty() ? "" : ", ") + loader;
  print_row("run by", escape_text(loaders), style, width);
}

}  // namespace kilter::cli
