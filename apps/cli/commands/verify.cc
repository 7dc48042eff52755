// kilter verify ADDR: is it whole?
#include "kilter/verify.h"

#include <cstdio>

#include "base/text.h"
#include "cli/command.h"
#include "cli/convert_text.h"
#include "cli/findings.h"
#include "cli/style.h"
#include "store/address.h"

namespace kilter::cli {

namespace {
namespace verify_command {

constexpr PositionalSpec kPositionals[] = {{"ADDR", "A checkpoint: a file or a folder"}};
constexpr OptionSpec kOptions[] = {
    {"--numbers", ValueKind::kFlag, "", "Also count NaN and Inf in every tensor"},
    {"--rescue", ValueKind::kPath, "DST", "Write what is intact to DST and list what was lost"},
    {"--to", ValueKind::kChoice, "FORMAT", "Format of DST: safetensors, torch, npz", false,
     "safetensors torch npz"},
    {"-f,--force", ValueKind::kFlag, "", "Replace DST if it exists"},
    {"--max-memory", ValueKind::kBytes, "SIZE", "Memory for buffers; default 512MiB"},
};

void print_numbers(const VerifyReport& report, const Style& style) {
  if (report.numbers.empty()) {
    std::printf("  numbers    %s\n", style.good("no NaN, no Inf").c_str());
    return;
  }
  for (const NumberCount& count : report.numbers) {
    std::printf("  numbers    %s  NaN %s  Inf %s\n", style.name(escape_text(count.tensor)).c_str(),
                format_count(count.nan_count).c_str(), format_count(count.inf_count).c_str());
  }
}

void print_text(const VerifyReport& report, const Invocation& invocation) {
  const Style style(invocation.terminal.colour_out);
  std::printf("%s: %s\n", escape_text(report.path).c_str(),
              report.sound ? style.good("sound").c_str() : style.bad("damaged").c_str());
  std::printf("  format     %s\n", report.format.c_str());
  std::printf("  checked    %s tensors, %s\n", format_count(report.tensor_count).c_str(),
              format_bytes(report.checked_bytes).c_str());
  for (const Finding& finding : report.findings)
    print_finding(finding, report.path, style, invocation.terminal.width_columns);
  if (invocation.arguments.has("numbers")) print_numbers(report, style);
  if (!report.rescue) return;
  std::printf("  rescued    %s tensors to %s\n", format_count(report.rescued.size()).c_str(),
              escape_text(report.rescue->target_path).c_str());
  for (const std::string& name : report.lost)
    std::printf("  %s       %s\n", style.bad("lost").c_str(), escape_text(name).c_str());
}

int run(const Invocation& invocation) {
  const auto files = store::files_for({invocation.arguments.positionals.at(0)});
  VerifyOptions options;
  options.rescue.open.files = files.get();
  options.numbers = invocation.arguments.has("numbers");
  options.rescue_path = invocation.arguments.text("rescue");
  options.rescue.to = invocation.arguments.text("to");
  options.rescue.force = invocation.arguments.has("force");
  options.rescue.max_memory_bytes =
      invocation.arguments.bytes("max-memory", options.rescue.max_memory_bytes);
  options.context = invocation.context;
  const auto report = verify(invocation.arguments.positionals.at(0), options);
  if (!report) return report_error(report.error(), invocation.terminal);
  if (invocation.terminal.json) {
    std::printf("%s\n", verify_json(*report).c_str());
  } else {
    print_text(*report, invocation);
  }
  return report->sound ? 0 : 1;
}

}  // namespace verify_command
}  // namespace

const CommandSpec kVerifyCommand = {
    .name = "verify",
    .summary = "Check structure and checksums completely",
    .description =
        "Checks everything a file states against what is there: headers, ranges, checksums, shard "
        "indexes, views inside their storages. Each fault names the tensor it hits, the offset, "
        "what was expected and what was found.\n"
        "With --rescue, tensors that are intact are written to DST.",
    .positionals = verify_command::kPositionals,
    .options = verify_command::kOptions,
    .examples =
        "kilter verify model.safetensors\n"
        "kilter verify --numbers checkpoint.pt              # NaN and Inf too\n"
        "kilter verify broken.pt --rescue intact.safetensors",
    .exit_statuses =
        "0    sound\n"
        "1    damaged; what could be said is printed\n"
        "2    wrong usage\n"
        "3    no checkpoint, or too broken to say more\n"
        "4    not found\n"
        "5    I/O error or no space\n"
        "130  interrupted",
    .run = verify_command::run,
};

}  // namespace kilter::cli
