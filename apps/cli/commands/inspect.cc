// kilter inspect ADDR: what is this?
#include "kilter/inspect.h"

#include <cstdio>

#include "base/try.h"
#include "cli/command.h"
#include "cli/inspect_text.h"
#include "cli/store_support.h"

namespace kilter::cli {

namespace {
namespace inspect_command {

constexpr PositionalSpec kPositionals[] = {
    {"ADDR", "A file, a folder, or a commit of a store: STORE@REF"}};
constexpr OptionSpec kOptions[] = {
    {"-t,--tensors", ValueKind::kOptional, "GLOB", "List tensors, all or those whose name matches"},
    {"--tree", ValueKind::kFlag, "", "Show the state that is not tensors"},
    {"--hash", ValueKind::kFlag, "",
     "SHA-256, BLAKE3, the old 8-digit web-UI hash, data-only SHA-256; reads every byte"},
    {"--evidence", ValueKind::kFlag, "", "Show what each answer rests on"},
};

/// What the address leads to: a commit's files and record, or the real file system (null).
struct Target {
  std::unique_ptr<io::FileSystem> files;
  std::optional<InspectedCommit> commit;
};

Result<Target> find_target(const std::string& address) {
  Target target;
  const auto parsed = store::parse_store_address(address);
  if (!parsed) return target;
  KILTER_ASSIGN(const store::FoundCommit found, store::find_commit(*parsed));
  KILTER_ASSIGN(store::Commit commit, found.store->read_commit(found.digest));
  std::string mount = address;
  if (!found.path.empty()) mount.resize(address.size() - found.path.size() - 1);
  while (mount.ends_with('/')) mount.pop_back();
  KILTER_ASSIGN(target.files, store::make_commit_file_system(found, std::move(mount)));
  target.commit = InspectedCommit{found.digest, std::move(commit)};
  return target;
}

/// The report's object with a member "commit". Two objects joined as texts: the state tree may be
/// deeper than the parser allows.
std::string report_json(const InspectReport& report, const InspectView& view) {
  std::string text = inspect_json(report, view.tensor_glob, view.tree);
  if (!view.commit) return text;
  Json commit;
  commit["commit"] = {{"commit", to_hex(view.commit->digest)},
                      {"time", store::time_text(view.commit->content.time_unix_ns)},
                      {"message", view.commit->content.message},
                      {"metadata", Json(view.commit->content.metadata)}};
  text.resize(text.rfind('\n'));  // what is left out closes the object
  return text + "," + dump_json(commit).substr(1);
}

int run(const Invocation& invocation) {
  const Arguments& arguments = invocation.arguments;
  auto target = find_target(arguments.positionals.at(0));
  if (!target) return report_error(target.error(), invocation.terminal);
  InspectOptions options;
  options.open.files = target->files.get();
  options.hashes = arguments.has("hash");
  options.tensor_hashes = options.hashes && arguments.has("tensors");
  options.context = invocation.context;
  // Left to the end of the process: freeing ten thousand tensors' names one by one takes longer
  // than everything printed here.
  static const auto report = inspect(arguments.positionals.at(0), options);
  if (!report) return report_error(report.error(), invocation.terminal);
  InspectView view;
  view.tensor_glob = arguments.has("tensors") ? arguments.text("tensors", "*") : "";
  view.tree = arguments.has("tree");
  view.evidence = arguments.has("evidence");
  view.commit = std::move(target->commit);
  if (invocation.terminal.json) {
    std::printf("%s\n", report_json(*report, view).c_str());
  } else {
    print_inspect(*report, view, invocation.terminal);
  }
  return report->checkpoint ? 0 : 3;
}

}  // namespace inspect_command
}  // namespace

const CommandSpec kInspectCommand = {
    .name = "inspect",
    .summary = "Say what a file or folder is",
    .description =
        "Prints format, what kind of checkpoint it is, architecture and sizes, parameters by dtype "
        "and part, tied tensors, stated step, epoch and loss, licence and oddities, each with "
        "evidence. Only headers are read, so a 140 GB folder costs what its headers cost. Nothing "
        "in the file is executed.",
    .positionals = inspect_command::kPositionals,
    .options = inspect_command::kOptions,
    .examples =
        "kilter inspect model.safetensors\n"
        "kilter inspect checkpoint.pt --tensors 'layer.0.*'\n"
        "kilter inspect checkpoint.pt --tree               # optimizer settings, epoch, …\n"
        "kilter inspect runs.kilter@best:loss             # files, and what the commit states\n"
        "kilter inspect downloads/model --json | jq .architecture.value",
    .exit_statuses =
        "0    a checkpoint, described\n"
        "2    wrong usage\n"
        "3    no checkpoint (what it is instead is said), or malformed\n"
        "4    not found\n"
        "5    I/O error\n"
        "130  interrupted",
    .run = inspect_command::run,
};

}  // namespace kilter::cli
