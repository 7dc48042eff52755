#include <algorithm>
#include <array>

#include "base/text.h"
#include "cli/command.h"

namespace kilter::cli {

namespace {

constexpr const CommandSpec* kCommands[] = {&kInspectCommand,
                                            &kScanCommand,
                                            &kVerifyCommand,
                                            &kConvertCommand,
                                            &kReshardCommand,
                                            &kCastCommand,
                                            &kAverageCommand,
                                            &kMergeCommand,
                                            &kPruneCommand,
                                            &kStripCommand,
                                            &kRenameCommand,
                                            &kShardCommand,
                                            &kEmaCommand,
                                            &kDeltaMakeCommand,
                                            &kDeltaApplyCommand,
                                            &kAdapterInspectCommand,
                                            &kAdapterApplyCommand,
                                            &kAdapterConvertCommand,
                                            &kAdapterExtractCommand,
                                            &kAdapterResizeCommand,
                                            &kAdapterCombineCommand,
                                            &kReproduceCommand,
                                            &kSaveCommand,
                                            &kLogCommand,
                                            &kShowCommand,
                                            &kRestoreCommand,
                                            &kLsCommand,
                                            &kCatCommand,
                                            &kTagCommand,
                                            &kBranchCommand,
                                            &kDiffCommand,
                                            &kRetainCommand,
                                            &kRemoveCommand,
                                            &kCollectCommand,
                                            &kCompactCommand,
                                            &kStatsCommand,
                                            &kCheckCommand,
                                            &kRepairCommand,
                                            &kPushCommand,
                                            &kPullCommand,
                                            &kCloneCommand,
                                            &kMountCommand,
                                            &kTortureCommand,
                                            &kCompletionsCommand,
                                            &kHelpCommand,
                                            &kGenerateCommand};

constexpr std::array<OptionSpec, 4> kCommonOptions = {{
    {"--json", ValueKind::kFlag, "", "Print one JSON object on standard output, errors included"},
    {"-q,--quiet", ValueKind::kFlag, "", "No progress; only results and errors"},
    {"--color", ValueKind::kChoice, "WHEN",
     "auto (terminals only, NO_COLOR respected), always, never", false, "auto always never"},
    {"-h,--help", ValueKind::kFlag, "", "Print this help"},
}};

}  // namespace

std::span<const CommandSpec* const> command_table() { return kCommands; }
std::span<const OptionSpec> common_options() { return kCommonOptions; }

const CommandSpec* find_command(std::string_view name) {
  const auto* const found =
      std::find_if(std::begin(kCommands), std::end(kCommands),
                   [&](const CommandSpec* spec) { return spec->name == name; });
  return found == std::end(kCommands) ? nullptr : *found;
}

const CommandSpec* find_command(std::span<const std::string_view> words, std::size_t* used) {
  for (std::size_t count = std::min<std::size_t>(words.size(), 2); count > 0; --count) {
    std::string name(words[0]);
    if (count == 2) name += " " + std::string(words[1]);
    *used = count;
    if (const CommandSpec* command = find_command(name)) return command;
  }
  *used = 0;
  return nullptr;
}

std::vector<const CommandSpec*> commands_of_group(std::string_view word) {
  std::vector<const CommandSpec*> out;
  const std::string prefix = std::string(word) + " ";
  for (const CommandSpec* command : kCommands)
    if (!command->hidden && command->name.starts_with(prefix)) out.push_back(command);
  return out;
}

std::string dashed_name(const CommandSpec& command) {
  std::string out(command.name);
  std::replace(out.begin(), out.end(), ' ', '-');
  return out;
}

std::string Arguments::text(std::string_view name, std::string_view otherwise) const {
  const auto found = values.find(name);
  if (found == values.end() || found->second.empty()) return std::string(otherwise);
  return found->second.back();
}

std::vector<std::string> Arguments::all(std::string_view name) const {
  const auto found = values.find(name);
  return found == values.end() ? std::vector<std::string>{} : found->second;
}

std::uint64_t Arguments::bytes(std::string_view name, std::uint64_t otherwise) const {
  std::uint64_t value = 0;
  return has(name) && parse_bytes(text(name), &value) ? value : otherwise;
}

unsigned Arguments::count(std::string_view name, unsigned otherwise) const {
  return has(name) ? static_cast<unsigned>(std::stoul(text(name))) : otherwise;
}

}  // namespace kilter::cli
