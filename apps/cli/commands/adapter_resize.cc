// kilter adapter resize SRC DST: another rank for a LoRA.
#include "base/try.h"
#include "cli/command.h"
#include "cli/factor_options.h"
#include "store/address.h"

namespace kilter::cli {

namespace {
namespace adapter_resize_command {

constexpr std::size_t kRankUnbounded = 1U << 20;

constexpr PositionalSpec kPositionals[] = {
    {"SRC", "A LoRA adapter: a file or a folder"},
    {"DST", "The folder (peft) or .safetensors file to make"}};
constexpr OptionSpec kOwn[] = {
    {"-r,--rank", ValueKind::kCount, "N", "Of each module; beside another rule: at most"},
    {"--energy", ValueKind::kText, "SHARE",
     "As few directions as carry this share of the squares: 0.95"},
    {"--sv-fro", ValueKind::kText, "SHARE",
     "As few as carry this share of the Frobenius norm: --energy of its square"},
    {"--sv-cumulative", ValueKind::kText, "SHARE",
     "As few as carry this share of the singular values' own sum"},
    {"--sv-ratio", ValueKind::kText, "X", "Singular values down to the largest divided by this"},
};
constexpr auto kOptions = with_factor_options(kOwn);

Status read_options(const Invocation& invocation, ResizeOptions& options) {
  const Arguments& arguments = invocation.arguments;
  KILTER_TRY(read_factor_options(invocation, options));
  RankRule& rule = options.rank;
  KILTER_ASSIGN(rule.energy, read_share(arguments, "energy"));
  KILTER_ASSIGN(const std::optional<double> norm, read_share(arguments, "sv-fro"));
  if (norm && rule.energy)
    return fail(ErrorCode::kInvalidArgument, "--sv-fro and --energy exclude each other");
  if (norm) rule.energy = *norm * *norm;
  KILTER_ASSIGN(rule.cumulative, read_share(arguments, "sv-cumulative"));
  if (arguments.has("sv-ratio")) {
    KILTER_ASSIGN(rule.value_ratio, read_number(arguments.text("sv-ratio"), "--sv-ratio"));
  }
  const bool ruled = rule.energy || rule.cumulative || rule.value_ratio > 0;
  if (!ruled && !arguments.has("rank"))
    return fail(Error(ErrorCode::kInvalidArgument, "which rank shall it have?")
                    .advise("give --rank, --energy, --sv-fro, --sv-cumulative or --sv-ratio"));
  KILTER_ASSIGN(rule.rank, read_rank(arguments, "rank", kRankUnbounded));
  return ok();
}

int run(const Invocation& invocation) {
  const auto& paths = invocation.arguments.positionals;
  ResizeOptions options;
  if (const Status read = read_options(invocation, options); !read)
    return report_error(read.error(), invocation.terminal);
  const auto files = store::files_for({paths.at(0)}, &options.max_memory_bytes);
  options.open.files = files.get();
  return print_factors(resize_adapter(paths.at(0), paths.at(1), options), invocation);
}

}  // namespace adapter_resize_command
}  // namespace

const CommandSpec kAdapterResizeCommand = {
    .name = "adapter resize",
    .summary = "Give a LoRA adapter another rank",
    .description =
        "From the factors alone, exactly: QR of both, then the SVD of the small core, so that what "
        "is left is the best there is of its rank. Alpha is the rank afterwards, and the naming "
        "stays unless --naming says otherwise. The error of each module is measured on what was "
        "written. Modules that are no plain LoRA (DoRA, LoHa, LoKr, IA3) are refused by name.",
    .positionals = adapter_resize_command::kPositionals,
    .options = adapter_resize_command::kOptions,
    .examples =
        "kilter adapter resize big.safetensors small.safetensors --rank 8\n"
        "kilter adapter resize lora/ smaller/ --energy 0.99 --rank 64",
    .exit_statuses = kWeightsStatuses,
    .run = adapter_resize_command::run,
};

}  // namespace kilter::cli
