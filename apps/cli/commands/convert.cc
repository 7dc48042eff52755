// kilter convert SRC DST: any readable checkpoint to a format Kilter writes.
#include "kilter/convert.h"

#include <cstdio>

#include "cli/command.h"
#include "cli/convert_text.h"
#include "store/address.h"

namespace kilter::cli {

namespace {
namespace convert_command {

constexpr PositionalSpec kPositionals[] = {
    {"SRC", "A checkpoint: a file or a folder"},
    {"DST", "The file or folder to make; its extension says the format"}};
constexpr OptionSpec kOptions[] = {
    {"--to", ValueKind::kChoice, "FORMAT",
     "safetensors, torch, npz or dcp; default: by DST's extension", false,
     "safetensors torch npz dcp"},
    {"--max-shard-size", ValueKind::kBytes, "SIZE",
     "Write shards of at most SIZE and an index into the folder DST (safetensors)"},
    {"--only", ValueKind::kText, "GLOB", "Take only tensors whose name matches; repeatable", true},
    {"--rename", ValueKind::kText, "FROM=TO",
     "Rename by prefix (model.=), or with one * on both sides; repeatable", true},
    {"--part", ValueKind::kChoice, "PART", "weights, ema, optimizer or all (default)", false,
     "weights ema optimizer all"},
    {"-n,--dry-run", ValueKind::kFlag, "", "Say what would be written, write nothing"},
    {"-f,--force", ValueKind::kFlag, "", "Replace DST if it exists"},
    {"--report", ValueKind::kFlag, "", "List every tensor and value, not only the noteworthy"},
    {"--max-memory", ValueKind::kBytes, "SIZE", "Memory for buffers; default 512MiB"},
    {"--threads", ValueKind::kCount, "N", "Threads; default: all processors"},
    {"--buffered", ValueKind::kFlag, "", "Do not bypass the page cache when writing"},
};

Part part_of(const std::string& name) {
  if (name == "weights") return Part::kWeights;
  if (name == "ema") return Part::kEma;
  return name == "optimizer" ? Part::kOptimizer : Part::kAll;
}

Status read_options(const Invocation& invocation, ConvertOptions* options) {
  const Arguments& arguments = invocation.arguments;
  options->to = arguments.text("to");
  options->shard_bytes_max = arguments.bytes("max-shard-size", 0);
  options->only = arguments.all("only");
  options->part = part_of(arguments.text("part", "all"));
  options->dry_run = arguments.has("dry-run");
  options->force = arguments.has("force");
  options->max_memory_bytes = arguments.bytes("max-memory", options->max_memory_bytes);
  options->thread_count = arguments.count("threads", 0);
  options->direct_io = !arguments.has("buffered");
  options->context = invocation.context;
  for (const std::string& rule : arguments.all("rename")) {
    const auto equals = rule.find('=');
    if (equals == std::string::npos) {
      return fail(ErrorCode::kInvalidArgument, "--rename wants FROM=TO, not '" + rule + "'");
    }
    options->rename.emplace_back(rule.substr(0, equals), rule.substr(equals + 1));
  }
  return ok();
}

int run(const Invocation& invocation) {
  const auto& paths = invocation.arguments.positionals;
  ConvertOptions options;
  if (const Status read = read_options(invocation, &options); !read)
    return report_error(read.error(), invocation.terminal);
  const auto files = store::files_for({paths.at(0)}, &options.max_memory_bytes);
  options.open.files = files.get();
  const auto report = convert(paths.at(0), paths.at(1), options);
  if (!report) return report_error(report.error(), invocation.terminal);
  if (invocation.terminal.json) {
    std::printf("%s\n", convert_json(*report).c_str());
  } else {
    print_convert(*report, invocation.terminal, invocation.arguments.has("report"));
  }
  return 0;
}

}  // namespace convert_command
}  // namespace

const CommandSpec kConvertCommand = {
    .name = "convert",
    .summary =
        "Write any readable checkpoint as safetensors, torch, npz or a torch distributed one",
    .description =
        "Every tensor and every other value is accounted for before the first byte is written; "
        "DST appears whole or not at all. State that is not tensors goes to a JSON file beside the "
        "tensors (NAME.state.json) and comes back when converting to torch. Tied tensors and views "
        "stay so where DST's format can say it, and are made contiguous and recorded elsewhere.\n"
        "A container that holds every tensor of the file (state_dict, model, …) is left out of the "
        "names. The bytes written never depend on threads or memory.",
    .positionals = convert_command::kPositionals,
    .options = convert_command::kOptions,
    .examples =
        "kilter convert model.ckpt model.safetensors\n"
        "kilter convert trained.pt weights.safetensors --part weights\n"
        "kilter convert model.safetensors model.pt         # opens with torch.load\n"
        "kilter convert big.pt big/ --max-shard-size 5G    # shards and an index\n"
        "kilter convert checkpoint/ model.safetensors      # torch DCP, sharded by any number of "
        "ranks\n"
        "kilter convert model.safetensors dcp/ --to dcp    # for "
        "torch.distributed.checkpoint.load\n"
        "kilter convert a.pt b.npz --only 'encoder.*' --rename encoder.=",
    .exit_statuses =
        "0    written (or would be, with --dry-run)\n"
        "2    wrong usage, or DST exists and --force was not given\n"
        "3    SRC is malformed or no checkpoint\n"
        "4    not found\n"
        "5    I/O error or no space; nothing of DST stays\n"
        "130  interrupted; nothing of DST stays",
    .run = convert_command::run,
};

}  // namespace kilter::cli
