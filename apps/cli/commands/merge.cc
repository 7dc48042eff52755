// kilter merge RECIPE.yml DST, or --a A --b B [--c C] DST: as the web UIs merge checkpoints.
#include "kilter/merge.h"

#include <optional>
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
    {"--block-weights", ValueKind::kText, "LIST",
     "M block by block of a UNet: 26 numbers (SD 1, 2), 20 (SDXL), BASE=0.2,IN00-IN05=0.5,OUT=1, "
     "or a preset such as GRAD_V; the rest has the merge's M"},
    {"--vae", ValueKind::kPath, "VAE", "Bake this VAE in, in place of A's"},
    {"--ema", ValueKind::kChoice, "WHAT",
     "Averaged weights beside the plain ones (model_ema.): drop (default), keep, or use in place "
     "of the plain ones",
     false, "drop keep use"},
    {"--discard", ValueKind::kText, "GLOB", "Leave tensors of this name out; repeatable", true},
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

/// The one option that says how.
Result<MergeWay> read_way(const Arguments& arguments) {
  std::optional<MergeWay> way;
  for (const MergeWay one : {MergeWay::kWeighted, MergeWay::kSlerp, MergeWay::kAddDifference}) {
    const std::string name(merge_way_name(one));
    if (!arguments.has(name)) continue;
    if (way)
      return fail(usage("--" + std::string(merge_way_name(*way)) + " and --" + name +
                        " exclude each other"));
    way = one;
  }
  if (!way) return fail(usage("give one of --weighted, --slerp and --add-difference"));
  if (!arguments.has("a") || !arguments.has("b")) return fail(usage("--a and --b are missing"));
  if (arguments.has("c") != (way == MergeWay::kAddDifference))
    return fail(usage("--c goes with --add-difference"));
  return *way;
}

Status read_options(const Invocation& invocation, MergeOptions& options) {
  const Arguments& arguments = invocation.arguments;
  KILTER_TRY(read_weights_options(invocation, options));
  if (arguments.has("dtype") && arguments.has("half"))
    return fail(usage("give one of --dtype and --half"));
  if (arguments.has("half")) options.dtype = DType::kF16;
  if (arguments.has("dtype")) {
    KILTER_ASSIGN(options.dtype, read_float_dtype(arguments.text("dtype")));
  }
  options.block_weights = arguments.text("block-weights");
  options.vae = arguments.text("vae");
  options.ema = ema_weights_from_name(arguments.text("ema", "drop")).value_or(EmaWeights::kDrop);
  options.discard = arguments.all("discard");
  return ok();
}

Result<WeightsReport> make(const Invocation& invocation) {
  const Arguments& arguments = invocation.arguments;
  if (arguments.positionals.size() == 2) {
    KILTER_TRY(check_no_ways(arguments));
    return make_merge_recipe(invocation);
  }
  KILTER_ASSIGN(const MergeWay way, read_way(arguments));
  MergeOptions options;
  KILTER_TRY(read_options(invocation, options));
  const std::string name(merge_way_name(way));
  KILTER_ASSIGN(const double ratio, read_number(arguments.text(name), "--" + name));
  std::vector<std::string> sources = {arguments.text("a"), arguments.text("b")};
  if (arguments.has("c")) sources.push_back(arguments.text("c"));
  std::vector<std::string> opened = sources;
  if (!options.vae.empty()) opened.push_back(options.vae);
  const auto files = store::files_for(opened, &options.max_memory_bytes);
  options.open.files = files.get();
  return merge_models(way, sources, ratio, arguments.positionals.at(0), options);
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
        "B's on the arc between them, as mergekit's slerp; nearly parallel ones go straight. "
        "Block weights are those of the UNet's blocks IN00 ..., M00, OUT00 ...; BASE is everything "
        "outside the UNet, VAE the image encoder and decoder (default: BASE's). An inpainting A "
        "(9 input channels) takes its first 4 from the blend.\n"
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
        "    --add-difference 1 out.safetensors --half\n"
        "kilter merge --a a.safetensors --b b.safetensors --weighted 0.5 out.safetensors \\\n"
        "    --block-weights GRAD_V,BASE=0 --vae kl-f8.safetensors\n"
        "kilter merge --a inpainting.ckpt --b anime.safetensors --c v1-5.safetensors \\\n"
        "    --add-difference 1 anime-inpainting.safetensors",
    .exit_statuses = kWeightsStatuses,
    .run = merge_command::run,
};

}  // namespace kilter::cli
