#include "cli/convert_text.h"

#include <cstdio>
#include <map>

#include "base/text.h"
#include "cli/style.h"

namespace kilter::cli {

namespace {

constexpr std::size_t kRowsMax = 20;  // the full list is in --json and --report

template <typename Rows>
std::string tally(const Rows& rows) {
  std::map<std::string, std::size_t> counts;
  for (const auto& row : rows) ++counts[row.fate];
  std::string out;
  for (const auto& [fate, count] : counts)
    out += (out.empty() ? "" : ", ") + format_count(count) + " " + fate;
  return out.empty() ? "none" : out;
}

void print_tensors(const ConvertReport& report, const Style& style, bool every) {
  std::size_t shown = 0, left = 0;
  for (const auto& tensor : report.tensors) {
    if (!every && tensor.reason.empty()) continue;
    if (!every && ++shown > kRowsMax) {
      ++left;
      continue;
    }
    const std::string to = tensor.to.empty() || tensor.to == tensor.from
                               ? ""
                               : " -> " + style.name(escape_text(tensor.to));
    std::printf("    %s%s  %s%s\n", style.name(escape_text(tensor.from)).c_str(), to.c_str(),
                tensor.fate.c_str(),
                tensor.reason.empty() ? "" : style.dim(": " + escape_text(tensor.reason)).c_str());
  }
  if (left > 0) std::printf("    … %s more: --report lists all\n", format_count(left).c_str());
}

void print_values(const ConvertReport& report, const Style& style, bool every) {
  std::size_t shown = 0, left = 0;
  for (const auto& value : report.values) {
    if (!every && value.fate == "kept") continue;
    if (!every && ++shown > kRowsMax) {
      ++left;
      continue;
    }
    std::printf("    %s  %s%s\n", style.name(escape_text(value.path)).c_str(), value.fate.c_str(),
                value.reason.empty() ? "" : style.dim(": " + escape_text(value.reason)).c_str());
  }
  if (left > 0) std::printf("    … %s more: --report lists all\n", format_count(left).c_str());
}

}  // namespace

void print_convert(const ConvertReport& report, const Terminal& terminal, bool every) {
  const Style style(terminal.colour_out);
  std::printf("%s (%s) -> %s (%s)%s\n", escape_text(report.source_path).c_str(),
              report.source_format.c_str(), escape_text(report.target_path).c_str(),
              report.target_format.c_str(), report.dry_run ? ", nothing written" : "");
  std::printf("  tensors  %s\n", tally(report.tensors).c_str());
  print_tensors(report, style, every);
  if (!report.values.empty()) {
    std::printf("  values   %s\n", tally(report.values).c_str());
    print_values(report, style, every);
  }
  for (const auto& [name, bytes] : report.files)
    std::printf("  file     %s  %s\n", escape_text(name).c_str(), format_bytes(bytes).c_str());
  if (report.dry_run || report.seconds <= 0) return;
  std::printf("  written  %s in %.2f s (%s)\n", format_bytes(report.written_bytes).c_str(),
              report.seconds,
              format_rate(static_cast<double>(report.written_bytes) / report.seconds).c_str());
}

}  // namespace kilter::cli
