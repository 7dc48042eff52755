// kilter rename SRC DST: tensors under other names.
#include "kilter/slim.h"

#include "base/try.h"
#include "cli/command.h"
#include "cli/weights_options.h"
#include "store/address.h"

namespace kilter::cli {

namespace {
namespace rename_command {

constexpr PositionalSpec kPositionals[] = {
    {"SRC", "A checkpoint: a file, a folder or a step in a store"},
    {"DST", "The file or folder to make; its extension says the format"}};
constexpr OptionSpec kOwn[] = {
    {"--rename", ValueKind::kText, "FROM=TO",
     "Rename by prefix (model.=), or with one * on both sides; repeatable, applied in order", true},
    {"--strip-prefix", ValueKind::kText, "PREFIX", "The same as --rename PREFIX=; repeatable",
     true},
};
constexpr auto kOptions = with_weights_options(kOwn);

Result<WeightsReport> make(const Invocation& invocation) {
  const Arguments& arguments = invocation.arguments;
  RenameOptions options;
  KILTER_TRY(read_weights_options(invocation, options));
  for (const std::string& prefix : arguments.all("strip-prefix"))
    options.rename.emplace_back(prefix, "");
  for (const std::string& rule : arguments.all("rename")) {
    const auto equals = rule.find('=');
    if (equals == std::string::npos)
      return fail(ErrorCode::kInvalidArgument, "--rename wants FROM=TO, not '" + rule + "'");
    options.rename.emplace_back(rule.substr(0, equals), rule.substr(equals + 1));
  }
  const auto files = store::files_for({arguments.positionals.at(0)}, &options.max_memory_bytes);
  options.open.files = files.get();
  return rename_tensors(arguments.positionals.at(0), arguments.positionals.at(1), options);
}

int run(const Invocation& invocation) { return print_weights(make(invocation), invocation); }

}  // namespace rename_command
}  // namespace

const CommandSpec kRenameCommand = {
    .name = "rename",
    .summary = "Write a checkpoint with other tensor names",
    .description =
        "Prefixes first, then the rules in order, each on what the one before left; tensors that "
        "no "
        "rule fits keep their names. A rule that fits nothing, and two tensors that would get one "
        "name, are refused before anything is written. A folder's config and tokenizer go along.",
    .positionals = rename_command::kPositionals,
    .options = rename_command::kOptions,
    .examples =
        "kilter rename wrapped.pt model.safetensors --strip-prefix module.\n"
        "kilter rename a.safetensors b.safetensors --rename 'layers.*.gamma=layers.*.weight'",
    .exit_statuses = kWeightsStatuses,
    .run = rename_command::run,
};

}  // namespace kilter::cli
