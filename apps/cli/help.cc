// Help texts, from the table of commands.
#include <algorithm>

#include "kilter/version.h"

#include "cli/command.h"
#include "cli/wrap.h"

namespace kilter::cli {

namespace {

std::string option_left(const OptionSpec& option) {
  std::string left(option.flags);
  const auto comma = left.find(',');
  if (comma != std::string::npos) {
    left.replace(comma, 1, ", ");
  } else {
    left = "    " + left;
  }
  if (!option.value_name.empty()) {
    const bool optional = option.kind == ValueKind::kOptional;
    left += optional ? " [" + std::string(option.value_name) + "]"
                     : " " + std::string(option.value_name);
  }
  return left;
}

std::string rows(std::span<const OptionSpec> options) {
  std::string out;
  for (const OptionSpec& option : options)
    out += two_columns(option_left(option), std::string(option.help), 30, 96);
  return out;
}

std::string indented(std::string_view lines) {
  std::string out;
  while (!lines.empty()) {
    const auto end = lines.find('\n');
    out += "  " + std::string(lines.substr(0, end)) + "\n";
    if (end == std::string_view::npos) break;
    lines.remove_prefix(end + 1);
  }
  return out;
}

}  // namespace

std::string usage_line(const CommandSpec& command) {
  std::string out = "kilter " + std::string(command.name);
  for (const PositionalSpec& positional : command.positionals)
    out += " " + std::string(positional.name) + (positional.repeatable ? "..." : "");
  return out + (command.options.empty() ? "" : " [options]");
}

std::string help_text(const CommandSpec& command, bool) {
  std::string out = std::string(command.summary) + "\n\nUsage: " + usage_line(command) + "\n\n";
  out += wrap(std::string(command.description), 96) + "\n";
  if (!command.positionals.empty()) {
    out += "\nArguments:\n";
    for (const PositionalSpec& positional : command.positionals)
      out += two_columns(std::string(positional.name), std::string(positional.help), 30, 96);
  }
  if (!command.options.empty()) out += "\nOptions:\n" + rows(command.options);
  out += "\nEverywhere:\n" + rows(common_options());
  if (!command.examples.empty()) out += "\nExamples:\n" + indented(command.examples);
  out += "\nExit status:\n" + indented(command.exit_statuses);
  return out;
}

std::string overview_text(bool) {
  std::string out =
      "kilter " + std::string(version()) +
      ": the checkpoint system for AI models\n\nUsage: kilter COMMAND [arguments]\n\nCommands:\n";
  for (const CommandSpec* command : command_table())
    if (!command->hidden)
      out += two_columns(std::string(command->name), std::string(command->summary), 20, 96);
  out +=
      "\n  -V, --version   print the version\n  -h, --help      print this\n"
      "\n`kilter COMMAND --help` explains one command, with examples.\n"
      "\nExit status: 0 done and nothing bad found; 1 done, and the answer is bad; 2 wrong usage;\n"
      "3 the input is malformed or could not be judged; 4 not found; 5 I/O or no space;\n"
      "70 a fault of Kilter itself; 130 interrupted.\n"
      "\nNothing inside a file is ever executed.\n";
  return out;
}

std::string group_text(std::string_view word) {
  const std::string name(word);
  std::string out = "Usage: kilter " + name + " COMMAND [arguments]\n\nCommands:\n";
  for (const CommandSpec* command : commands_of_group(word))
    out += two_columns(std::string(command->name), std::string(command->summary), 20, 96);
  return out + "\n`kilter " + name + " COMMAND --help` explains one, with examples.\n";
}

}  // namespace kilter::cli
