// kilter restore ADDR DST: a checkpoint's files back from a store.
#include "store/restore.h"

#include <cstdio>

#include "kilter/convert.h"

#include "base/text.h"
#include "cli/command.h"
#include "cli/convert_text.h"
#include "cli/store_support.h"

namespace kilter::cli {

namespace {
namespace restore_command {

constexpr PositionalSpec kPositionals[] = {
    {"ADDR", "A commit: STORE@main, STORE@step:1200, STORE@best:loss, STORE@v1/config.json"},
    {"DST", "A new folder or file"}};
constexpr OptionSpec kOptions[] = {
    {"--only", ValueKind::kText, "GLOB", "Only these tensors, as one file of them", true},
    {"--as", ValueKind::kChoice, "FORMAT",
     "Write the tensors in this format: safetensors, torch, npz", false, "safetensors torch npz"},
    {"-f,--force", ValueKind::kFlag, "", "Replace DST if it exists"},
    {"--max-memory", ValueKind::kBytes, "SIZE", "Memory for buffers; default 512MiB"},
};

int restore_tensors(const Invocation& invocation) {
  const Arguments& arguments = invocation.arguments;
  ConvertOptions options;
  options.to = arguments.text("as");
  options.only = arguments.all("only");
  options.force = arguments.has("force");
  options.max_memory_bytes = arguments.bytes("max-memory", options.max_memory_bytes);
  const auto files = store::files_for({arguments.positionals[0]}, &options.max_memory_bytes);
  options.open.files = files.get();
  options.context = invocation.context;
  const auto report = convert(arguments.positionals[0], arguments.positionals[1], options);
  if (!report) return report_error(report.error(), invocation.terminal);
  if (invocation.terminal.json) {
    std::printf("%s\n", convert_json(*report).c_str());
  } else {
    print_convert(*report, invocation.terminal, false);
  }
  return 0;
}

int restore_files(const Invocation& invocation) {
  const Arguments& arguments = invocation.arguments;
  const auto address = require_store(arguments.positionals[0]);
  if (!address) return report_error(address.error(), invocation.terminal);
  auto found = store::find_commit(*address);
  if (!found) return report_error(found.error(), invocation.terminal);
  store::RestoreRequest request;
  request.from = std::move(*found);
  request.target = arguments.positionals[1];
  request.force = arguments.has("force");
  request.max_memory_bytes = arguments.bytes("max-memory", request.max_memory_bytes);
  request.context = invocation.context;
  const auto restored = store::restore_tree(request);
  if (!restored) return report_error(restored.error(), invocation.terminal);
  if (invocation.terminal.json) {
    print_json({{"commit", to_hex(request.from.digest)},
                {"target", request.target},
                {"files", restored->file_count},
                {"bytes", restored->bytes},
                {"seconds", restored->seconds}});
  } else if (!invocation.terminal.quiet) {
    const double rate =
        restored->seconds > 0 ? static_cast<double>(restored->bytes) / restored->seconds : 0;
    std::printf("%s: %s files, %s of commit %s, verified  %s\n",
                escape_text(request.target).c_str(), format_count(restored->file_count).c_str(),
                format_bytes(restored->bytes).c_str(), short_digest(request.from.digest).c_str(),
                format_rate(rate).c_str());
  }
  return 0;
}

int run(const Invocation& invocation) {
  const bool tensors = invocation.arguments.has("only") || invocation.arguments.has("as");
  return tensors ? restore_tensors(invocation) : restore_files(invocation);
}

}  // namespace restore_command
}  // namespace

const CommandSpec kRestoreCommand = {
    .name = "restore",
    .summary = "Get a checkpoint back from a store, byte for byte",
    .description =
        "Writes the files of a commit as they were when they were saved. Every part is checked "
        "against its name on the way; the output appears whole or not at all.\n"
        "With --only or --as the tensors are written instead, as `kilter convert` does.",
    .positionals = restore_command::kPositionals,
    .options = restore_command::kOptions,
    .examples =
        "kilter restore runs.kilter@step:1200 resume/\n"
        "kilter restore runs.kilter@best:loss best/           # the lowest loss\n"
        "kilter restore runs.kilter@v1/config.json config.json\n"
        "kilter restore runs.kilter@main~3 old.pt --as torch\n"
        "kilter restore runs.kilter head.safetensors --only 'lm_head.*' --as safetensors",
    .exit_statuses =
        "0    restored and verified\n"
        "2    wrong usage, or DST exists\n"
        "3    the store is damaged or malformed\n"
        "4    no such store, commit or file\n"
        "5    I/O error or no space\n"
        "130  interrupted; nothing was written",
    .run = restore_command::run,
};

}  // namespace kilter::cli
