// kilter adapter apply BASE DST --adapter A=0.8: a base with adapters in it.
#include "kilter/adapter.h"

#include "base/try.h"
#include "cli/command.h"
#include "cli/weights_options.h"
#include "store/address.h"

namespace kilter::cli {

namespace {
namespace adapter_apply_command {

constexpr PositionalSpec kPositionals[] = {
    {"BASE", "The model: a file, a folder (transformers, diffusers) or a step in a store"},
    {"DST", "The file or folder to make; its extension says the format"}};
constexpr OptionSpec kOwn[] = {
    {"-a,--adapter", ValueKind::kText, "ADDR[=STRENGTH]",
     "An adapter and how much of it, 1 if nothing is said; repeatable, applied in this order",
     true},
};
constexpr auto kOptions = with_weights_options(kOwn);

/// "style.safetensors=0.8". What stands behind the last '=' is a strength only if it is a number.
AdapterStrength read_adapter_option(const std::string& text) {
  const auto equals = text.find_last_of('=');
  if (equals != std::string::npos && equals > 0)
    if (const auto strength = read_number(text.substr(equals + 1), "--adapter"))
      return {text.substr(0, equals), *strength};
  return {text, 1};
}

int run(const Invocation& invocation) {
  const auto& paths = invocation.arguments.positionals;
  WeightsOptions options;
  if (const Status read = read_weights_options(invocation, options); !read)
    return report_error(read.error(), invocation.terminal);
  std::vector<AdapterStrength> adapters;
  std::vector<std::string> addresses = {paths.at(0)};
  for (const std::string& text : invocation.arguments.all("adapter")) {
    adapters.push_back(read_adapter_option(text));
    addresses.push_back(adapters.back().address);
  }
  if (adapters.empty())
    return report_error(Error(ErrorCode::kInvalidArgument, "name an adapter with --adapter"),
                        invocation.terminal);
  const auto files = store::files_for(addresses, &options.max_memory_bytes);
  options.open.files = files.get();
  return print_weights(apply_adapters(paths.at(0), adapters, paths.at(1), options), invocation);
}

}  // namespace adapter_apply_command
}  // namespace

const CommandSpec kAdapterApplyCommand = {
    .name = "adapter apply",
    .summary = "Put LoRAs and other adapters into a model's weights",
    .description =
        "Writes the base with the adapters in its weights: LoRA, DoRA, LoHa, LoKr, IA3, full "
        "differences and replaced tensors, in PEFT's, diffusers', kohya's or ComfyUI's naming, "
        "onto "
        "transformers and diffusers folders, single files and the original files of SD 1, 2 and "
        "XL. "
        "Sums are computed in binary64 over all adapters and rounded once into the base's dtype. "
        "Modules that the base lacks or that do not fit it are named before anything is written.",
    .positionals = adapter_apply_command::kPositionals,
    .options = adapter_apply_command::kOptions,
    .examples =
        "kilter adapter apply model/ tuned/ --adapter my-peft-run/\n"
        "kilter adapter apply sd15.safetensors out.safetensors -a style.safetensors=0.8 -a "
        "face.pt=0.5\n"
        "kilter adapter apply runs.kilter@best out/ -a lora/ --dry-run",
    .exit_statuses = kWeightsStatuses,
    .run = adapter_apply_command::run,
};

}  // namespace kilter::cli
