// kilter strip SRC DST: weights without what only training needed.
#include "kilter/slim.h"

#include "base/try.h"
#include "cli/command.h"
#include "cli/weights_options.h"
#include "store/address.h"

namespace kilter::cli {

namespace {
namespace strip_command {

constexpr PositionalSpec kPositionals[] = {
    {"SRC", "A checkpoint: a file, a folder or a step in a store"},
    {"DST", "The file or folder to make; its extension says the format"}};
constexpr OptionSpec kOwn[] = {
    {"--part", ValueKind::kChoice, "PART",
     "weights (default), or ema: its numbers take the weights' places", false, "weights ema"},
    {"--keep-ema", ValueKind::kFlag, "", "Keep EMA tensors beside the weights"},
    {"--keep", ValueKind::kText, "GLOB", "Keep tensors that would go; repeatable", true},
    {"--drop", ValueKind::kText, "GLOB", "Leave out further tensors; repeatable", true},
    {"--metadata", ValueKind::kChoice, "WHAT", "keep (default) or drop safetensors' metadata",
     false, "keep drop"},
};
constexpr auto kOptions = with_weights_options(kOwn);

Result<WeightsReport> make(const Invocation& invocation) {
  const Arguments& arguments = invocation.arguments;
  StripOptions options;
  KILTER_TRY(read_weights_options(invocation, options));
  if (arguments.text("part") == "ema") options.part = Part::kEma;
  options.keep_ema = arguments.has("keep-ema");
  options.keep_metadata = arguments.text("metadata", "keep") == "keep";
  options.keep = arguments.all("keep");
  options.drop = arguments.all("drop");
  const auto files = store::files_for({arguments.positionals.at(0)}, &options.max_memory_bytes);
  options.open.files = files.get();
  return strip(arguments.positionals.at(0), arguments.positionals.at(1), options);
}

int run(const Invocation& invocation) { return print_weights(make(invocation), invocation); }

}  // namespace strip_command
}  // namespace

const CommandSpec kStripCommand = {
    .name = "strip",
    .summary = "Leave out what a model does not need to run",
    .description =
        "Optimizer state, EMA, schedules, random states and the trainer's own files; buffers that "
        "every model makes itself (position_ids, causal masks, rotary frequencies); loss modules "
        "of "
        "training; second copies of tied tensors, where DST's format cannot say that two are one. "
        "What goes is listed with the reason, and how many bytes that saves. The numbers of what "
        "stays do not change.",
    .positionals = strip_command::kPositionals,
    .options = strip_command::kOptions,
    .examples =
        "kilter strip v1-5-full.ckpt v1-5.safetensors\n"
        "kilter strip v1-5-full.ckpt ema.safetensors --part ema\n"
        "kilter strip checkpoint-500/ model/ --metadata drop",
    .exit_statuses = kWeightsStatuses,
    .run = strip_command::run,
};

}  // namespace kilter::cli
