// kilter delta make BASE TUNED DELTA, kilter delta apply BASE DELTA DST: partial checkpoints.
#include "kilter/delta.h"

#include <cstdio>

#include "base/text.h"
#include "base/try.h"
#include "cli/command.h"
#include "cli/style.h"
#include "cli/weights_options.h"
#include "store/address.h"

namespace kilter::cli {

namespace {
namespace delta_command {

constexpr PositionalSpec kMakePositionals[] = {
    {"BASE", "What TUNED was made from: file, folder or step in a store"},
    {"TUNED", "The checkpoint that the delta shall give back"},
    {"DELTA", "The file to make: NAME.safetensors"}};
constexpr PositionalSpec kApplyPositionals[] = {
    {"BASE", "The base that the delta was made from; another one is refused"},
    {"DELTA", "What `kilter delta make` wrote"},
    {"DST", "The file or folder to make; a folder gets config, tokenizer and card too"}};
constexpr OptionSpec kMakeOptions[] = {
    {"-n,--dry-run", ValueKind::kFlag, "", "Say how large it would be, write nothing"},
    {"-f,--force", ValueKind::kFlag, "", "Replace DELTA if it exists"},
    {"--report", ValueKind::kFlag, "", "List every tensor, not only the noteworthy"},
    {"--max-memory", ValueKind::kBytes, "SIZE", "Memory for buffers; default 512MiB"},
    {"--threads", ValueKind::kCount, "N", "Threads; default: all processors"},
};
constexpr OptionSpec kApplyOptions[] = {
    {"--to", ValueKind::kChoice, "FORMAT",
     "safetensors, torch, npz or dcp; default: by DST's extension", false,
     "safetensors torch npz dcp"},
    {"--max-shard-size", ValueKind::kBytes, "SIZE",
     "Write shards of at most SIZE and an index into the folder DST (safetensors)"},
    {"-n,--dry-run", ValueKind::kFlag, "", "Check the base, say what would be written"},
    {"-f,--force", ValueKind::kFlag, "", "Replace DST if it exists"},
    {"--report", ValueKind::kFlag, "", "List every tensor, not only the noteworthy"},
    {"--max-memory", ValueKind::kBytes, "SIZE", "Memory for buffers; default 512MiB"},
    {"--threads", ValueKind::kCount, "N", "Threads; default: all processors"},
    {"--buffered", ValueKind::kFlag, "", "Do not bypass the page cache when writing"},
};

using Verb = Result<DeltaReport> (*)(const std::string&, const std::string&, const std::string&,
                                     const WeightsOptions&);

Result<DeltaReport> make(const Invocation& invocation, Verb verb) {
  WeightsOptions options;
  KILTER_TRY(read_weights_options(invocation, options));
  const auto& paths = invocation.arguments.positionals;
  const auto files = store::files_for({paths.at(0), paths.at(1)}, &options.max_memory_bytes);
  options.open.files = files.get();
  return verb(paths.at(0), paths.at(1), paths.at(2), options);
}

void print_sizes(const DeltaReport& report) {
  const double share = report.plain_bytes == 0 ? 0
                                               : static_cast<double>(report.payload_bytes) /
                                                     static_cast<double>(report.plain_bytes);
  std::printf("  size     %s of %s of tensors (%.1f %%)\n",
              format_bytes(report.payload_bytes).c_str(), format_bytes(report.plain_bytes).c_str(),
              100 * share);
  std::printf("  base     content %s\n  result   content %s\n", report.base_digest.c_str(),
              report.result_digest.c_str());
}

int run_verb(const Invocation& invocation, Verb verb) {
  const auto report = make(invocation, verb);
  if (!report) return report_error(report.error(), invocation.terminal);
  if (invocation.terminal.json) {
    std::printf("%s\n", delta_json(*report).c_str());
    return 0;
  }
  const int status = print_weights(Result<WeightsReport>(*report), invocation);
  print_sizes(*report);
  return status;
}

int run_make(const Invocation& invocation) { return run_verb(invocation, delta_make); }
int run_apply(const Invocation& invocation) { return run_verb(invocation, delta_apply); }

}  // namespace delta_command
}  // namespace

const CommandSpec kDeltaMakeCommand = {
    .name = "delta make",
    .summary = "Keep of a fine-tune only what it has beyond its base",
    .description =
        "Writes a partial checkpoint: exact integer differences of the elements' bits, "
        "entropy-coded, "
        "so that base and delta give TUNED back bit for bit whatever the dtype. Tensors that are "
        "the "
        "base's cost nothing; what only TUNED has is stored whole; its metadata, config, tokenizer "
        "and card go along. The delta is a safetensors file (spec/delta.md) that names the base's "
        "content by its digest.",
    .positionals = delta_command::kMakePositionals,
    .options = delta_command::kMakeOptions,
    .examples =
        "kilter delta make base/ tuned/ tuned.delta.safetensors\n"
        "kilter delta make runs.kilter@step:1000 runs.kilter@step:1200 d.safetensors --dry-run",
    .exit_statuses =
        "0    written (or would be, with --dry-run)\n"
        "2    wrong usage, or DELTA exists and --force was not given\n"
        "3    an input is malformed or no checkpoint\n"
        "4    not found\n"
        "5    I/O error or no space; nothing of DELTA stays\n"
        "130  interrupted; nothing of DELTA stays",
    .run = delta_command::run_make,
};

const CommandSpec kDeltaApplyCommand = {
    .name = "delta apply",
    .summary = "Give a fine-tune back from its base and its delta",
    .description =
        "Checks BASE against the digest in the delta, decodes everything once and checks it "
        "against "
        "the result's digest, and only then writes DST.",
    .positionals = delta_command::kApplyPositionals,
    .options = delta_command::kApplyOptions,
    .examples = "kilter delta apply base/ tuned.delta.safetensors tuned/",
    .exit_statuses =
        "0    written (or would be, with --dry-run)\n"
        "2    wrong usage, DELTA is none, or DST exists and --force was not given\n"
        "3    BASE is not the delta's base, or a file is damaged\n"
        "4    not found\n"
        "5    I/O error or no space; nothing of DST stays\n"
        "130  interrupted; nothing of DST stays",
    .run = delta_command::run_apply,
};

}  // namespace kilter::cli
