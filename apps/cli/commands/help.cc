// kilter help, kilter completions.
#include <cstdio>

#include "cli/command.h"
#include "cli/completions.h"

namespace kilter::cli {

namespace {
namespace help_command {

constexpr PositionalSpec kHelpPositionals[] = {
    {"[COMMAND]", "Which command to explain: one word, or two", true}};
constexpr PositionalSpec kShellPositionals[] = {{"SHELL", "bash, zsh or fish"}};

int run_help(const Invocation& invocation) {
  const auto& names = invocation.arguments.positionals;
  if (names.empty()) {
    std::fputs(overview_text(false).c_str(), stdout);
    return 0;
  }
  const std::vector<std::string_view> words(names.begin(), names.end());
  std::size_t used = 0;
  const CommandSpec* command = find_command(words, &used);
  if (command == nullptr && words.size() == 1 && !commands_of_group(words.front()).empty()) {
    std::fputs(group_text(words.front()).c_str(), stdout);
    return 0;
  }
  if (command == nullptr || used != words.size()) {
    std::string name = names.front();
    for (std::size_t i = 1; i < names.size(); ++i) name += " " + names[i];
    return report_error(Error(ErrorCode::kInvalidArgument, "there is no command '" + name + "'"),
                        invocation.terminal);
  }
  std::fputs(help_text(*command, false).c_str(), stdout);
  return 0;
}

int run_completions(const Invocation& invocation) {
  const std::string& shell = invocation.arguments.positionals.at(0);
  std::string text;
  if (shell == "bash") text = bash_completion();
  if (shell == "zsh") text = zsh_completion();
  if (shell == "fish") text = fish_completion();
  if (text.empty()) {
    return report_error(
        Error(ErrorCode::kInvalidArgument, "no completions for '" + shell + "': bash, zsh or fish"),
        invocation.terminal);
  }
  std::fputs(text.c_str(), stdout);
  return 0;
}

}  // namespace help_command
}  // namespace

const CommandSpec kHelpCommand = {
    .name = "help",
    .summary = "Explain a command",
    .description = "Prints the same text as `kilter COMMAND --help`.",
    .positionals = help_command::kHelpPositionals,
    .options = {},
    .examples = "kilter help scan",
    .exit_statuses = "0  printed\n2  there is no such command",
    .run = help_command::run_help,
};

const CommandSpec kCompletionsCommand = {
    .name = "completions",
    .summary = "Print completions for a shell",
    .description =
        "Prints a completion script. `make install` puts all three where the shells look.",
    .positionals = help_command::kShellPositionals,
    .options = {},
    .examples =
        "source <(kilter completions bash)\n"
        "kilter completions fish > ~/.config/fish/completions/kilter.fish",
    .exit_statuses = "0  printed\n2  unknown shell",
    .run = help_command::run_completions,
};

}  // namespace kilter::cli
