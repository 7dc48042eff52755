// kilter adapter convert SRC DST --naming N: the same adapter under other names.
#include "kilter/adapter.h"

#include "base/try.h"
#include "cli/command.h"
#include "cli/weights_options.h"
#include "store/address.h"

namespace kilter::cli {

namespace {
namespace adapter_convert_command {

constexpr PositionalSpec kPositionals[] = {
    {"SRC", "An adapter: a file, a folder or a step in a store"},
    {"DST", "The file to make; PEFT's naming wants a folder"}};
constexpr OptionSpec kOwn[] = {
    {"--naming", ValueKind::kChoice, "NAMING", "peft, diffusers, kohya or comfyui", false,
     "peft diffusers kohya comfyui"},
};
constexpr auto kOptions = with_weights_options(kOwn);

int run(const Invocation& invocation) {
  const auto& paths = invocation.arguments.positionals;
  AdapterConvertOptions options;
  if (const Status read = read_weights_options(invocation, options); !read)
    return report_error(read.error(), invocation.terminal);
  options.naming = invocation.arguments.text("naming");
  if (options.naming.empty())
    return report_error(Error(ErrorCode::kInvalidArgument, "say --naming"), invocation.terminal);
  const auto files = store::files_for({paths.at(0)}, &options.max_memory_bytes);
  options.open.files = files.get();
  return print_weights(convert_adapter(paths.at(0), paths.at(1), options), invocation);
}

}  // namespace adapter_convert_command
}  // namespace

const CommandSpec kAdapterConvertCommand = {
    .name = "adapter convert",
    .summary = "Write an adapter under another naming's names",
    .description =
        "The factors keep their bits; alpha goes where the naming keeps it: in tensors (kohya, "
        "ComfyUI), in adapter_config.json (PEFT), in the metadata (diffusers). What the naming has "
        "no "
        "place for is refused, and named. The way back gives the same tensors.",
    .positionals = adapter_convert_command::kPositionals,
    .options = adapter_convert_command::kOptions,
    .examples =
        "kilter adapter convert style.safetensors style-peft/ --naming peft\n"
        "kilter adapter convert lora-diffusers.bin lora.safetensors --naming kohya\n"
        "kilter adapter convert lora.safetensors lora-comfy.safetensors --naming comfyui",
    .exit_statuses = kWeightsStatuses,
    .run = adapter_convert_command::run,
};

}  // namespace kilter::cli
