// kilter prune SRC DST: weights set to zero.
#include <cmath>

#include "kilter/slim.h"

#include "base/try.h"
#include "cli/command.h"
#include "cli/weights_options.h"
#include "store/address.h"

namespace kilter::cli {

namespace {
namespace prune_command {

constexpr PositionalSpec kPositionals[] = {
    {"SRC", "A checkpoint: a file, a folder or a step in a store"},
    {"DST", "The file or folder to make; its extension says the format"}};
constexpr OptionSpec kOwn[] = {
    {"-s,--sparsity", ValueKind::kText, "SHARE",
     "Share of the elements that is zero afterwards, the smallest ones: 0.5"},
    {"--by", ValueKind::kChoice, "WHAT",
     "tensor (default): the share of each tensor; global: of all together, by one threshold", false,
     "tensor global"},
    {"--pattern", ValueKind::kText, "N:M", "Keep the N largest of M neighbours in a row: 2:4"},
    {"--structured", ValueKind::kChoice, "WHAT",
     "Whole rows, columns or attention heads of smallest L2 norm", false, "rows columns heads"},
    {"--fraction", ValueKind::kText, "SHARE",
     "Share of the rows, columns or heads that becomes zero"},
    {"--heads", ValueKind::kCount, "N", "Attention heads of a layer; default: as config.json says"},
    {"--mask-from", ValueKind::kPath, "FILE", "Zero where these bool or u8 tensors are 0"},
    {"--mask", ValueKind::kPath, "FILE", "Write what is kept, as bool tensors of the same names"},
    {"--only", ValueKind::kText, "GLOB",
     "Tensors to prune; default: the weights of linear layers; repeatable", true},
    {"--exclude", ValueKind::kText, "GLOB", "Tensors to leave alone; repeatable", true},
};
constexpr auto kOptions = with_weights_options(kOwn);

Error usage(std::string message) {
  return Error(ErrorCode::kInvalidArgument, std::move(message))
      .advise(
          "kilter prune SRC DST --sparsity 0.5, --pattern 2:4, or --structured rows "
          "--fraction 0.25");
}

Status read_pattern(const std::string& text, PruneOptions& options) {
  const auto colon = std::min(text.find(':'), text.size());
  KILTER_ASSIGN(const double keep, read_number(text.substr(0, colon), "--pattern"));
  KILTER_ASSIGN(const double group,
                read_number(text.substr(std::min(colon + 1, text.size())), "--pattern"));
  const auto fits = [](double one) { return one >= 0 && one <= 1024 && one == std::floor(one); };
  if (!fits(keep) || !fits(group)) return fail(usage("--pattern wants N:M, not '" + text + "'"));
  options.pattern_keep = static_cast<std::uint32_t>(keep);
  options.pattern_group = static_cast<std::uint32_t>(group);
  return ok();
}

/// The one option that says which elements go.
Status read_way(const Arguments& arguments, PruneOptions& options) {
  std::string way;
  for (const char* one : {"sparsity", "pattern", "structured", "mask-from"}) {
    if (!arguments.has(one)) continue;
    if (!way.empty()) return fail(usage("--" + way + " and --" + one + " exclude each other"));
    way = one;
  }
  if (way.empty())
    return fail(usage("give one of --sparsity, --pattern, --structured and --mask-from"));
  if (arguments.has("by") && way != "sparsity") return fail(usage("--by goes with --sparsity"));
  if (arguments.has("fraction") != (way == "structured"))
    return fail(usage("--structured and --fraction go together"));
  options.global = arguments.text("by", "tensor") == "global";
  options.head_count = arguments.count("heads", 0);
  options.mask_source = arguments.text("mask-from");
  if (way == "mask-from") options.way = PruneWay::kMask;
  if (way == "sparsity") {
    KILTER_ASSIGN(options.sparsity, read_number(arguments.text("sparsity"), "--sparsity"));
  }
  if (way == "pattern") {
    options.way = PruneWay::kPattern;
    return read_pattern(arguments.text("pattern"), options);
  }
  if (way != "structured") return ok();
  const std::string what = arguments.text("structured");
  options.way = what == "rows"      ? PruneWay::kRows
                : what == "columns" ? PruneWay::kColumns
                                    : PruneWay::kHeads;
  KILTER_ASSIGN(options.fraction, read_number(arguments.text("fraction"), "--fraction"));
  return ok();
}

Result<WeightsReport> make(const Invocation& invocation) {
  const Arguments& arguments = invocation.arguments;
  PruneOptions options;
  KILTER_TRY(read_weights_options(invocation, options));
  KILTER_TRY(read_way(arguments, options));
  options.mask_target = arguments.text("mask");
  options.only = arguments.all("only");
  options.exclude = arguments.all("exclude");
  std::vector<std::string> sources = {arguments.positionals.at(0)};
  if (!options.mask_source.empty()) sources.push_back(options.mask_source);
  const auto files = store::files_for(sources, &options.max_memory_bytes);
  options.open.files = files.get();
  return prune(sources.front(), arguments.positionals.at(1), options);
}

int run(const Invocation& invocation) { return print_weights(make(invocation), invocation); }

}  // namespace prune_command
}  // namespace

const CommandSpec kPruneCommand = {
    .name = "prune",
    .summary = "Set the least of the weights to zero",
    .description =
        "Shapes stay: what goes becomes zero. Of the weights of linear layers (embeddings, the "
        "output head, norms and biases are left alone, unless --only names them) the smallest "
        "magnitudes go (--sparsity), all but N of M neighbours (--pattern), or whole rows, columns "
        "or attention heads of smallest norm (--structured); of equal ones those of lower index "
        "are kept. A head is silenced by the columns that belong to it in the attention's output "
        "projection. Zeros that are there stay. How sparse each tensor was and is, and the error, "
        "are printed.",
    .positionals = prune_command::kPositionals,
    .options = prune_command::kOptions,
    .examples =
        "kilter prune model/ sparse/ --sparsity 0.5 --mask masks.safetensors\n"
        "kilter prune model.safetensors sparse.safetensors --pattern 2:4\n"
        "kilter prune model/ fewer/ --structured heads --fraction 0.25\n"
        "kilter prune tuned/ sparse-tuned/ --mask-from masks.safetensors",
    .exit_statuses = kWeightsStatuses,
    .run = prune_command::run,
};

}  // namespace kilter::cli
