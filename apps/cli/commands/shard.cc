// kilter shard SRC DST: the same tensors in files of another size.
#include "kilter/slim.h"

#include "base/try.h"
#include "cli/command.h"
#include "cli/weights_options.h"
#include "store/address.h"

namespace kilter::cli {

namespace {
namespace shard_command {

constexpr PositionalSpec kPositionals[] = {
    {"SRC", "A checkpoint: a file, a folder or a step in a store"},
    {"DST", "The folder to make; with --single, a file or a folder"}};
constexpr OptionSpec kOwn[] = {
    {"--single", ValueKind::kFlag, "", "One file instead of shards"},
};
constexpr auto kOptions = with_weights_options(kOwn);

Result<WeightsReport> make(const Invocation& invocation) {
  const Arguments& arguments = invocation.arguments;
  WeightsOptions options;
  KILTER_TRY(read_weights_options(invocation, options));
  if (arguments.has("single") == arguments.has("max-shard-size"))
    return fail(Error(ErrorCode::kInvalidArgument, "how large shall the files be?")
                    .advise("give one of --max-shard-size 5GB and --single"));
  const auto files = store::files_for({arguments.positionals.at(0)}, &options.max_memory_bytes);
  options.open.files = files.get();
  return shard(arguments.positionals.at(0), arguments.positionals.at(1), options);
}

int run(const Invocation& invocation) { return print_weights(make(invocation), invocation); }

}  // namespace shard_command
}  // namespace

const CommandSpec kShardCommand = {
    .name = "shard",
    .summary = "Cut a checkpoint into shards, or join them",
    .description =
        "Writes shards of at most --max-shard-size with their index "
        "(model.safetensors.index.json), "
        "dealt as huggingface_hub deals them; a tensor that is larger has a shard of its own. "
        "--single joins them again. Names and bytes of the tensors do not change, and config, "
        "tokenizer and card go along. Sharding for the ranks of a training run is `kilter "
        "reshard`.",
    .positionals = shard_command::kPositionals,
    .options = shard_command::kOptions,
    .examples =
        "kilter shard model.safetensors shards/ --max-shard-size 5GB\n"
        "kilter shard shards/ model.safetensors --single",
    .exit_statuses = kWeightsStatuses,
    .run = shard_command::run,
};

}  // namespace kilter::cli
