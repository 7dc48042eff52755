// kilter adapter extract TUNED BASE DST: what a fine-tune changed, as LoRA factors.
#include "base/try.h"
#include "cli/command.h"
#include "cli/factor_options.h"
#include "store/address.h"

namespace kilter::cli {

namespace {
namespace adapter_extract_command {

constexpr std::size_t kEnergyRankMax = 256;

constexpr PositionalSpec kPositionals[] = {
    {"TUNED", "The fine-tuned model: a file, a folder or a step in a store"},
    {"BASE", "The model it was tuned from"},
    {"DST", "The folder (peft) or .safetensors file to make"}};
constexpr OptionSpec kOwn[] = {
    {"-r,--rank", ValueKind::kCount, "N", "Directions of each module; default 32"},
    {"--energy", ValueKind::kText, "SHARE",
     "Of each module as many directions as carry this share of the change's squares: 0.95"},
    {"--rank-max", ValueKind::kCount, "N", "With --energy: never more than this; default 256"},
    {"--sv-epsilon", ValueKind::kText, "X", "Leave singular values of X and below out"},
    {"--modules", ValueKind::kText, "GLOB",
     "Only modules whose path or last level matches: '*self_attn*', 'q_proj'; repeatable", true},
    {"--exclude", ValueKind::kText, "GLOB", "Not these modules; repeatable", true},
    {"--embeddings", ValueKind::kChoice, "HOW",
     "Changed embeddings: left out (leave, default), whole, or factors", false,
     "leave whole factors"},
    {"--others", ValueKind::kChoice, "HOW",
     "Changed norms, biases and the like: left out (leave, default) or whole", false,
     "leave whole"},
    {"--iterations", ValueKind::kCount, "N",
     "Of the power method; default 2. More come nearer to the best factors there are"},
    {"--seed", ValueKind::kCount, "N", "Of the random sketch; default 0"},
};
constexpr auto kOptions = with_factor_options(kOwn);

Remainder read_remainder(const std::string& name) {
  if (name == "whole") return Remainder::kWhole;
  return name == "factors" ? Remainder::kFactors : Remainder::kLeave;
}

Status read_options(const Invocation& invocation, ExtractOptions& options) {
  const Arguments& arguments = invocation.arguments;
  KILTER_TRY(read_factor_options(invocation, options));
  KILTER_ASSIGN(options.rank.energy, read_share(arguments, "energy"));
  if (options.rank.energy && arguments.has("rank"))
    return fail(Error(ErrorCode::kInvalidArgument, "--rank and --energy exclude each other")
                    .advise("--rank-max bounds what --energy finds"));
  if (arguments.has("rank-max") && !options.rank.energy)
    return fail(ErrorCode::kInvalidArgument, "--rank-max goes with --energy");
  KILTER_ASSIGN(options.rank.rank, options.rank.energy
                                       ? read_rank(arguments, "rank-max", kEnergyRankMax)
                                       : read_rank(arguments, "rank", 32));
  if (arguments.has("sv-epsilon")) {
    KILTER_ASSIGN(options.rank.value_min,
                  read_number(arguments.text("sv-epsilon"), "--sv-epsilon"));
  }
  options.modules = arguments.all("modules");
  options.exclude = arguments.all("exclude");
  options.embeddings = read_remainder(arguments.text("embeddings"));
  options.others = read_remainder(arguments.text("others"));
  options.iterations = static_cast<int>(std::min(arguments.count("iterations", 2), 1000U));
  options.seed = arguments.count("seed", 0);
  return ok();
}

int run(const Invocation& invocation) {
  const auto& paths = invocation.arguments.positionals;
  ExtractOptions options;
  if (const Status read = read_options(invocation, options); !read)
    return report_error(read.error(), invocation.terminal);
  const auto files = store::files_for({paths.at(0), paths.at(1)}, &options.max_memory_bytes);
  options.open.files = files.get();
  return print_factors(extract_adapter(paths.at(0), paths.at(1), paths.at(2), options), invocation);
}

}  // namespace adapter_extract_command
}  // namespace

const CommandSpec kAdapterExtractCommand = {
    .name = "adapter extract",
    .summary = "Make an adapter from a fine-tuned model and its base",
    .description =
        "Of each linear and convolutional layer the difference is approximated by two thin "
        "factors, found by randomized SVD: the singular values go into both, alpha is the rank. "
        "The error of each module and of all is measured on what was written, element by "
        "element. Layers that do not differ get no factors. Changed embeddings, norms and biases "
        "are named with their size and left out, unless --embeddings and --others say otherwise.\n"
        "The bytes are the same for any --threads and --max-memory and on any processor. The "
        "recipe goes along: `kilter reproduce DST` makes it again.",
    .positionals = adapter_extract_command::kPositionals,
    .options = adapter_extract_command::kOptions,
    .examples =
        "kilter adapter extract tuned/ base/ lora/                          # rank 32, PEFT\n"
        "kilter adapter extract tuned/ base/ lora/ --energy 0.95 --rank-max 128\n"
        "kilter adapter extract anime.safetensors sdxl.safetensors style.safetensors --naming "
        "kohya --dtype f16",
    .exit_statuses = kWeightsStatuses,
    .run = adapter_extract_command::run,
};

}  // namespace kilter::cli
