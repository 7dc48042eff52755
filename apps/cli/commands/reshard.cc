// kilter reshard SRC DST --ranks N: a checkpoint cut for another number of ranks.
#include "kilter/reshard.h"

#include <algorithm>
#include <cstdio>

#include "base/text.h"
#include "cli/command.h"
#include "cli/style.h"
#include "store/address.h"

namespace kilter::cli {

namespace {
namespace reshard_command {

constexpr PositionalSpec kPositionals[] = {
    {"SRC", "A checkpoint of any readable format: a file or a folder"},
    {"DST", "The folder to make"}};
constexpr OptionSpec kOptions[] = {
    {"--ranks", ValueKind::kCount, "N", "Ranks to cut for (required)"},
    {"--plan", ValueKind::kText, "FILE",
     "Lines GLOB: DIM (YAML) or a JSON object: which tensors are cut along which dimension"},
    {"--to", ValueKind::kChoice, "FORMAT", "dcp (default) or safetensors, a file a rank", false,
     "dcp safetensors"},
    {"-n,--dry-run", ValueKind::kFlag, "", "Say what would be written, write nothing"},
    {"-f,--force", ValueKind::kFlag, "", "Replace DST if it exists"},
    {"--report", ValueKind::kFlag, "", "List every tensor"},
    {"--max-memory", ValueKind::kBytes, "SIZE", "Memory for buffers; default 512MiB"},
    {"--threads", ValueKind::kCount, "N", "Threads; default: all processors"},
    {"--buffered", ValueKind::kFlag, "", "Do not bypass the page cache when writing"},
};

void print_tensor_rows(const ReshardReport& report, const Style& style, bool every) {
  for (const auto& tensor : report.tensors) {
    if (!every && tensor.dim) continue;
    std::printf("    %s  %s\n", style.name(escape_text(tensor.name)).c_str(),
                tensor.dim ? ("along dimension " + std::to_string(*tensor.dim) + ", " +
                              std::to_string(tensor.pieces) + " pieces")
                                 .c_str()
                           : ("whole" + style.dim(": " + tensor.reason)).c_str());
  }
}

void print_reshard(const ReshardReport& report, const Terminal& terminal, bool every) {
  const Style style(terminal.colour_out);
  std::printf("%s (%s) -> %s (%s, %u ranks)%s\n", escape_text(report.source_path).c_str(),
              report.source_format.c_str(), escape_text(report.target_path).c_str(),
              report.target_format.c_str(), report.ranks,
              report.dry_run ? ", nothing written" : "");
  std::size_t cut = 0;
  for (const auto& tensor : report.tensors) cut += tensor.dim ? 1U : 0U;
  std::printf("  tensors  %s cut, %s whole\n", format_count(cut).c_str(),
              format_count(report.tensors.size() - cut).c_str());
  constexpr std::size_t kWholeShownMax = 20;
  if (every || report.tensors.size() - cut <= kWholeShownMax)
    print_tensor_rows(report, style, every);
  if (report.value_count > 0)
    std::printf("  values   %s %s\n", format_count(report.value_count).c_str(),
                report.values_kept ? "kept" : "dropped: safetensors has no place for them");
  const auto [least, most] =
      std::minmax_element(report.rank_bytes.begin(), report.rank_bytes.end());
  std::printf("  a rank   %s to %s of tensors\n", format_bytes(*least).c_str(),
              format_bytes(*most).c_str());
  for (const auto& [name, bytes] : report.files)
    std::printf("  file     %s  %s\n", escape_text(name).c_str(), format_bytes(bytes).c_str());
  if (report.dry_run || report.seconds <= 0) return;
  std::printf("  written  %s in %.2f s (%s)\n", format_bytes(report.written_bytes).c_str(),
              report.seconds,
              format_rate(static_cast<double>(report.written_bytes) / report.seconds).c_str());
}

int run(const Invocation& invocation) {
  const Arguments& arguments = invocation.arguments;
  const auto& paths = arguments.positionals;
  ReshardOptions options;
  options.ranks = arguments.count("ranks", 0);
  if (options.ranks == 0)
    return report_error(
        Error(ErrorCode::kInvalidArgument, "say for how many ranks").advise("give --ranks N"),
        invocation.terminal);
  if (arguments.has("plan")) {
    auto rules = read_shard_rules(arguments.text("plan"));
    if (!rules) return report_error(rules.error(), invocation.terminal);
    options.rules = std::move(*rules);
  }
  options.to = arguments.text("to", "dcp");
  options.dry_run = arguments.has("dry-run");
  options.force = arguments.has("force");
  options.max_memory_bytes = arguments.bytes("max-memory", options.max_memory_bytes);
  options.thread_count = arguments.count("threads", 0);
  options.direct_io = !arguments.has("buffered");
  options.context = invocation.context;
  const auto files = store::files_for({paths.at(0)}, &options.max_memory_bytes);
  options.open.files = files.get();
  const auto report = reshard(paths.at(0), paths.at(1), options);
  if (!report) return report_error(report.error(), invocation.terminal);
  if (invocation.terminal.json) {
    std::printf("%s\n", reshard_json(*report).c_str());
  } else {
    print_reshard(*report, invocation.terminal, arguments.has("report"));
  }
  return 0;
}

}  // namespace reshard_command
}  // namespace

const CommandSpec kReshardCommand = {
    .name = "reshard",
    .summary = "Cut any readable checkpoint for a number of ranks",
    .description =
        "Writes a torch distributed checkpoint with a file for each of N ranks, offline: no torch, "
        "no GPU, memory within --max-memory. Without a plan every tensor is cut along its first "
        "dimension as FSDP does (torch.chunk); with one, the first rule whose glob matches counts, "
        "and what no rule matches stays whole on one rank. torch.distributed.checkpoint.load takes "
        "the result on any number of ranks; cut for yours, each reads little more than its own "
        "file. DST appears whole or not at all.",
    .positionals = reshard_command::kPositionals,
    .options = reshard_command::kOptions,
    .examples =
        "kilter reshard checkpoint-4-ranks/ for-two/ --ranks 2\n"
        "kilter reshard model.safetensors tp/ --ranks 8 --plan tp.yaml\n"
        "    # tp.yaml:  '*.o_proj.weight': 1\n"
        "    #           '*norm*': whole\n"
        "    #           '*': 0\n"
        "kilter reshard runs.kilter@best:loss out/ --ranks 16 --dry-run",
    .exit_statuses =
        "0    written (or would be, with --dry-run)\n"
        "2    wrong usage, a plan that does not fit, or DST exists and --force was not given\n"
        "3    SRC or the plan is malformed\n"
        "4    not found\n"
        "5    I/O error or no space; nothing of DST stays\n"
        "130  interrupted; nothing of DST stays",
    .run = reshard_command::run,
};

}  // namespace kilter::cli
