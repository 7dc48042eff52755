// kilter inspect ADDR: what is this?
#include "kilter/inspect.h"

#include <cstdio>

#include "cli/command.h"
#include "cli/inspect_text.h"
#include "store/address.h"

namespace kilter::cli {

namespace {

constexpr PositionalSpec kPositionals[] = {{"ADDR", "A file or a folder"}};
constexpr OptionSpec kOptions[] = {
    {"-t,--tensors", ValueKind::kOptional, "GLOB", "List tensors, all or those whose name matches"},
    {"--tree", ValueKind::kFlag, "", "Show the state that is not tensors"},
    {"--hash", ValueKind::kFlag, "",
     "SHA-256, BLAKE3, the old 8-digit web-UI hash, data-only SHA-256; reads every byte"},
    {"--evidence", ValueKind::kFlag, "", "Show what each answer rests on"},
};

int run(const Invocation& invocation) {
  const Arguments& arguments = invocation.arguments;
  const auto files = store::files_for({invocation.arguments.positionals.at(0)});
  InspectOptions options;
  options.open.files = files.get();
  options.hashes = arguments.has("hash");
  options.tensor_hashes = options.hashes && arguments.has("tensors");
  options.context = invocation.context;
  // Left to the end of the process: freeing ten thousand tensors' names one by one takes longer
  // than everything printed here.
  static const auto report = inspect(arguments.positionals.at(0), options);
  if (!report) return report_error(report.error(), invocation.terminal);
  const std::string glob = arguments.has("tensors") ? arguments.text("tensors", "*") : "";
  if (invocation.terminal.json) {
    std::printf("%s\n", inspect_json(*report, glob, arguments.has("tree")).c_str());
  } else {
    InspectView view;
    view.tensor_glob = glob;
    view.tree = arguments.has("tree");
    view.evidence = arguments.has("evidence");
    print_inspect(*report, view, invocation.terminal);
  }
  return report->checkpoint ? 0 : 3;
}

}  // namespace

const CommandSpec kInspectCommand = {
    .name = "inspect",
    .summary = "Say what a file or folder is",
    .description =
        "Prints format, what kind of checkpoint it is, architecture and sizes, parameters by dtype "
        "and part, tied tensors, stated step, epoch and loss, licence and oddities, each with "
        "evidence. Only headers are read, so a 140 GB folder costs what its headers cost. Nothing "
        "in the file is executed.",
    .positionals = kPositionals,
    .options = kOptions,
    .examples =
        "kilter inspect model.safetensors\n"
        "kilter inspect checkpoint.pt --tensors 'layer.0.*'\n"
        "kilter inspect checkpoint.pt --tree               # optimizer settings, epoch, …\n"
        "kilter inspect downloads/model --json | jq .architecture.value",
    .exit_statuses =
        "0    a checkpoint, described\n"
        "2    wrong usage\n"
        "3    no checkpoint (what it is instead is said), or malformed\n"
        "4    not found\n"
        "5    I/O error\n"
        "130  interrupted",
    .run = run,
};

}  // namespace kilter::cli
