// kilter merge RECIPE.yml DST, or --a A --b B [--c C] DST: as the web UIs merge checkpoints.
#include <vector>

#include "base/try.h"
#include "cli/command.h"
#include "cli/merge_recipe.h"
#include "cli/weights_options.h"
#include "store/address.h"

namespace kilter::cli {

namespace {
namespace merge_command {

constexpr PositionalSpec kPositionals[] = {
    {"[RECIPE]", "A recipe in mergekit's YAML, instead of --a and --b"},
    {"DST", "The file or folder to make; its extension says the format"}};
constexpr OptionSpec kOwn[] = {
    {"--a", ValueKind::kPath, "A", "The first model; names, dtypes and companions are its"},
    {"--b", ValueKind::kPath, "B", "The second model"},
    {"--c", ValueKind::kPath, "C", "What is taken away from B, for --add-difference"},
    {"--weighted", ValueKind::kText, "M", "A * (1 - M) + B * M: 0 is A, 1 is B"},
    {"--slerp", ValueKind::kText, "T", "From A (0) to B (1) along the arc between them"},
    {"--add-difference", ValueKind::kText, "M", "A + M * (B - C)"},
    {"-d,--dtype", ValueKind::kText, "DTYPE",
     "Write floats as f64, f32, bf16, f16, f8_e4m3 or f8_e5m2; default: as in A"},
    {"--half", ValueKind::kFlag, "", "The same as --dtype f16"},
};
constexpr auto kOptions = with_weights_options(kOwn);

Error usage(std::string message) {
  return Error(ErrorCode::kInvalidArgument, std::move(message))
      .advise(
          "kilter merge --a A --b B --weighted 0.3 DST, or --a A --b B --c C "
          "--add-difference 1 DST, or RECIPE.yml DST");
}

Status check_no_ways(const Arguments& arguments) {
  for (const OptionSpec& option : kOwn) {
    const std::string_view name = option.flags.substr(option.flags.rfind("--") + 2);
    if (arguments.has(name))
      return fail(
          usage("--" + std::string(name) + " does not go with a recipe, which says it all"));
  }
  return ok();
}

Result<WeightsReport> make(const Invocation& invocation) {
  const Arguments& arguments = invocation.arguments;
  if (arguments.positionals.size() == 2) {
    KILTER_TRY(check_no_ways(arguments));
    return make_merge_recipe(invocation);
  }
  std::string way;  // the one option that says how
  for (const char* one : {"weighted", "slerp", "add-difference"}) {
    if (!arguments.has(one)) continue;
    if (!way.empty()) return fail(usage("--" + way + " and --" + one + " exclude each other"));
    way = one;
  }
  if (way.empty()) return fail(usage("give one of --weighted, --slerp and --add-difference"));
  const bool added = way == "add-difference";
  if (!arguments.has("a") || !arguments.has("b")) return fail(usage("--a and --b are missing"));
  if (arguments.has("c") != added) return fail(usage("--c goes with --add-difference"));
  BlendOptions options;
  KILTER_TRY(read_weights_options(invocation, options));
  if (arguments.has("dtype") && arguments.has("half"))
    return fail(usage("give one of --dtype and --half"));
  if (arguments.has("half")) options.dtype = DType::kF16;
  if (arguments.has("dtype")) {
    KILTER_ASSIGN(options.dtype, read_float_dtype(arguments.text("dtype")));
  }
  KILTER_ASSIGN(const double ratio, read_number(arguments.text(way), "--" + way));
  std::vector<std::string> sources = {arguments.text("a"), arguments.text("b")};
  if (added) sources.push_back(arguments.text("c"));
  const auto files = store::files_for(sources, &options.max_memory_bytes);
  options.open.files = files.get();
  const std::string& target = arguments.positionals.at(0);
  if (way == "slerp") return merge_slerp(sources[0], sources[1], ratio, target, options);
  if (!added) return merge_weighted(sources[0], sources[1], ratio, target, options);
  return merge_add_difference(sources[0], sources[1], sources[2], ratio, target, options);
}

int run(const Invocation& invocation) { return print_weights(make(invocation), invocation); }

}  // namespace merge_command
}  // namespace

const CommandSpec kMergeCommand = {
    .name = "merge",
    .summary = "Merge models by a recipe, blend two, or add what one learnt to a third",
    .description =
        "RECIPE is mergekit's YAML as it is: models, slices or modules, any of its methods, "
        "gradients, filters, tokenizers. docs/merge-recipes.md says what is read, and how the two "
        "agree. Models are named by path, from the recipe's folder or the current one.\n"
        "--weighted M is A * (1 - M) + B * M, as in the checkpoint mergers of the web UIs. "
        "ComfyUI's "
        "ModelMergeSimple counts the other way: its ratio 1 is the first model, so its 0.7 is M = "
        "0.3 here. --add-difference M is A + M * (B - C). --slerp T turns each tensor of A towards "
        "B's on the arc between them, as mergekit's slerp; nearly parallel ones go straight.\n"
        "Computed in binary64 and rounded once. What does not fit together is named before "
        "anything "
        "is written, and --allow lets one kind of it pass. The recipe goes along: `kilter "
        "reproduce "
        "DST` makes it again.",
    .positionals = merge_command::kPositionals,
    .options = merge_command::kOptions,
    .examples =
        "kilter merge recipe.yml merged/ --dry-run\n"
        "kilter merge --a base.safetensors --b anime.safetensors --weighted 0.3 out.safetensors\n"
        "kilter merge --a base.safetensors --b tuned.safetensors --c old.safetensors \\\n"
        "    --add-difference 1 out.safetensors --half",
    .exit_statuses = kWeightsStatuses,
    .run = merge_command::run,
};

}  // namespace kilter::cli
