// kilter scan PATH...: is it safe to load?
#include "kilter/scan.h"

#include <cstdio>

#include "base/text.h"
#include "cli/command.h"
#include "cli/findings.h"
#include "cli/style.h"
#include "cli/wrap.h"
#include "store/address.h"

namespace kilter::cli {

namespace {
namespace scan_command {

constexpr PositionalSpec kPositionals[] = {
    {"PATH", "Files and folders; folders are scanned with everything below them", true}};
constexpr OptionSpec kOptions[] = {
    {"--format", ValueKind::kChoice, "FORMAT", "text (default), json or sarif", false,
     "text json sarif"},
    {"--notes", ValueKind::kFlag, "", "Also print notes, which never change a verdict"},
    {"--threads", ValueKind::kCount, "N", "Files scanned at once; default: all processors"},
};

std::string verdict_text(Verdict verdict, const Style& style) {
  const std::string name = padded(std::string(verdict_name(verdict)), 10);
  switch (verdict) {
    case Verdict::kSafe:
      return style.good(name);
    case Verdict::kDangerous:
      return style.bad(name);
    default:
      return style.warn(name);
  }
}

void print_text(const ScanReport& report, const Terminal& terminal, bool notes) {
  const Style style(terminal.colour_out);
  std::size_t counts[5] = {};
  for (const ScanFile& file : report.files) {
    ++counts[static_cast<std::size_t>(file.verdict)];
    std::printf("%s  %s  %s\n", verdict_text(file.verdict, style).c_str(),
                escape_text(file.path).c_str(), style.dim(file.format).c_str());
    for (const Finding& finding : file.findings)
      if (notes || finding.severity != Severity::kNote)
        print_finding(finding, file.path, style, terminal.width_columns);
  }
  if (report.files.size() == 1) return;
  std::string summary;
  for (std::size_t i = 5; i-- > 0;) {
    if (counts[i] == 0) continue;
    summary += (summary.empty() ? "" : ", ") + format_count(counts[i]) + " " +
               std::string(verdict_name(static_cast<Verdict>(i)));
  }
  std::printf("\n%s files: %s\n", format_count(report.files.size()).c_str(),
              summary.empty() ? "nothing to scan" : summary.c_str());
}

int exit_status(Verdict verdict) {
  switch (verdict) {
    case Verdict::kSafe:
      return 0;
    case Verdict::kDangerous:
    case Verdict::kSuspicious:
      return 1;
    default:
      return 3;
  }
}

int run(const Invocation& invocation) {
  const auto files = store::files_for(invocation.arguments.positionals);
  ScanOptions options;
  options.files = files.get();
  options.context = invocation.context;
  options.thread_count = invocation.arguments.count("threads", 0);
  const auto report = scan(invocation.arguments.positionals, options);
  if (!report) return report_error(report.error(), invocation.terminal);
  const std::string format =
      invocation.arguments.text("format", invocation.terminal.json ? "json" : "text");
  if (format == "json") {
    std::printf("%s\n", scan_json(*report).c_str());
  } else if (format == "sarif") {
    std::printf("%s\n", scan_sarif(*report).c_str());
  } else {
    print_text(*report, invocation.terminal, invocation.arguments.has("notes"));
  }
  return exit_status(report->verdict);
}

}  // namespace scan_command
}  // namespace

const CommandSpec kScanCommand = {
    .name = "scan",
    .summary = "Judge whether files are safe to load",
    .description =
        "Gives each file a verdict: safe, unknown (could not tell), malformed, suspicious or "
        "dangerous, with the rule, the byte offset, the call as readable text, why a loader would "
        "reach it and which loaders would run it. Formats are recognized by content. Nothing is "
        "ever executed, imported or unpickled: an inert machine reads what unpicklers would run.\n"
        "Only what an allow-list knows is safe. One bad file never stops the rest.",
    .positionals = scan_command::kPositionals,
    .options = scan_command::kOptions,
    .examples =
        "kilter scan model.ckpt                       # one file\n"
        "kilter scan downloads/ other/lora.pt         # folders too\n"
        "kilter scan --format sarif models/ > scan.sarif",
    .exit_statuses =
        "0    everything is safe\n"
        "1    something is dangerous or suspicious\n"
        "2    wrong usage\n"
        "3    something is malformed or could not be judged, nothing worse\n"
        "130  interrupted",
    .run = scan_command::run,
};

}  // namespace kilter::cli
