// kilter adapter combine A B -o DST: several LoRAs as one.
#include "base/try.h"
#include "cli/command.h"
#include "cli/factor_options.h"
#include "store/address.h"

namespace kilter::cli {

namespace {
namespace adapter_combine_command {

constexpr PositionalSpec kPositionals[] = {
    {"ADAPTER", "LoRA adapters for one base: files or folders, in any naming", true}};
constexpr OptionSpec kOwn[] = {
    {"-o,--output", ValueKind::kPath, "DST",
     "The folder (peft) or .safetensors file to make; required"},
    {"-w,--weights", ValueKind::kText, "W,W", "One number for each adapter; default 1 each"},
    {"--how", ValueKind::kChoice, "METHOD",
     "cat (default), linear, svd, ties, dare_linear, dare_ties or magnitude_prune", false,
     "cat linear svd ties dare_linear dare_ties magnitude_prune"},
    {"-r,--rank", ValueKind::kCount, "N",
     "Of what svd and the methods behind it cut; default: the largest among the adapters"},
    {"--energy", ValueKind::kText, "SHARE",
     "There: as few directions as carry this share of the squares"},
    {"--density", ValueKind::kText, "SHARE",
     "Numbers that ties, dare_* and magnitude_prune keep; default 0.5"},
    {"--seed", ValueKind::kCount, "N", "Of what dare_* drops; default 0"},
};
constexpr auto kOptions = with_factor_options(kOwn);

bool takes_rank(CombineMethod method) {
  return method != CombineMethod::kCat && method != CombineMethod::kLinear;
}

Status read_options(const Invocation& invocation, CombineOptions& options) {
  const Arguments& arguments = invocation.arguments;
  if (!arguments.has("output"))
    return fail(Error(ErrorCode::kInvalidArgument, "where shall it go?").advise("give -o DST"));
  KILTER_TRY(read_factor_options(invocation, options));
  options.method =
      combine_method_from_name(arguments.text("how", "cat")).value_or(CombineMethod::kCat);
  KILTER_ASSIGN(options.weights, read_numbers(arguments.text("weights"), "--weights"));
  KILTER_ASSIGN(options.rank.rank, read_rank(arguments, "rank", 0));
  KILTER_ASSIGN(options.rank.energy, read_share(arguments, "energy"));
  if (!takes_rank(options.method) && (options.rank.rank > 0 || options.rank.energy))
    return fail(Error(ErrorCode::kInvalidArgument, "--how cat and linear keep the ranks there are")
                    .advise("--how svd cuts the same sum to a rank"));
  KILTER_ASSIGN(const std::optional<double> density, read_share(arguments, "density"));
  options.density = density.value_or(options.density);
  options.seed = arguments.count("seed", 0);
  return ok();
}

int run(const Invocation& invocation) {
  const auto& paths = invocation.arguments.positionals;
  CombineOptions options;
  if (const Status read = read_options(invocation, options); !read)
    return report_error(read.error(), invocation.terminal);
  const auto files = store::files_for(paths, &options.max_memory_bytes);
  options.open.files = files.get();
  return print_factors(combine_adapters(paths, invocation.arguments.text("output"), options),
                       invocation);
}

}  // namespace adapter_combine_command
}  // namespace

const CommandSpec kAdapterCombineCommand = {
    .name = "adapter combine",
    .summary = "Make one LoRA adapter of several",
    .description =
        "cat puts the factors side by side: exactly the weighted sum of what the adapters do, of "
        "ranks added up. svd is the same sum cut to a rank, from the factors alone. linear sums "
        "factors as PEFT does, whose products then mix; the error that is printed says by how "
        "much it misses the sum. ties, dare_linear, dare_ties and magnitude_prune drop numbers of "
        "the differences themselves, sum what is left, and cut it to a rank; the error says what "
        "the cut cost. Ranks may differ (but for linear), and so may namings: the first's is "
        "written unless --naming says otherwise.",
    .positionals = adapter_combine_command::kPositionals,
    .options = adapter_combine_command::kOptions,
    .examples =
        "kilter adapter combine style/ subject/ -w 0.7,1 -o both/\n"
        "kilter adapter combine a.safetensors b.safetensors -o c.safetensors --how svd --rank 32\n"
        "kilter adapter combine a/ b/ c/ -o mixed/ --how ties --density 0.3",
    .exit_statuses = kWeightsStatuses,
    .run = adapter_combine_command::run,
};

}  // namespace kilter::cli
