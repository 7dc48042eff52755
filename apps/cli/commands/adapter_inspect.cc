// kilter adapter inspect ADDR: what an adapter is and what it touches.
#include <cstdio>

#include "kilter/adapter.h"

#include "cli/adapter_text.h"
#include "cli/command.h"
#include "store/address.h"

namespace kilter::cli {

namespace {
namespace adapter_inspect_command {

constexpr PositionalSpec kPositionals[] = {
    {"ADDR", "An adapter: a file, a folder with adapter_config.json, or a step in a store"}};
constexpr OptionSpec kOptions[] = {
    {"--modules", ValueKind::kFlag, "", "List every module and all that is stated"},
};

int run(const Invocation& invocation) {
  const std::string& address = invocation.arguments.positionals.at(0);
  OpenOptions options;
  const auto files = store::files_for({address});
  options.files = files.get();
  const auto report = inspect_adapter(address, options);
  if (!report) return report_error(report.error(), invocation.terminal);
  if (invocation.terminal.json)
    std::printf("%s\n", adapter_json(*report).c_str());
  else
    print_adapter(*report, invocation.terminal, invocation.arguments.has("modules"));
  return 0;
}

}  // namespace adapter_inspect_command
}  // namespace

const CommandSpec kAdapterInspectCommand = {
    .name = "adapter inspect",
    .summary = "Say what a LoRA or other adapter is and what it touches",
    .description =
        "Prints kind (LoRA, DoRA, LoHa, LoKr, IA3, full difference), naming (PEFT, diffusers, "
        "kohya, ComfyUI), the base model it states, ranks, alphas and the scale they make, the "
        "modules by group, and tensors that no rule knows. Only headers and alphas are read.",
    .positionals = adapter_inspect_command::kPositionals,
    .options = adapter_inspect_command::kOptions,
    .examples =
        "kilter adapter inspect style.safetensors\n"
        "kilter adapter inspect my-peft-run/ --modules\n"
        "kilter adapter inspect style.safetensors --json | jq '.modules[].rank'",
    .exit_statuses =
        "0  described\n2  wrong usage, or it is no adapter\n3  malformed\n4  not found\n5  I/O "
        "error",
    .run = adapter_inspect_command::run,
};

}  // namespace kilter::cli
