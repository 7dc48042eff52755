#include "cli/completions.h"

#include "cli/command.h"

namespace kilter::cli {

namespace {

/// Text inside single quotes of a shell.
std::string quoted(std::string_view text) {
  std::string out;
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out;
}

/// For zsh's _arguments: brackets and colons mean something there.
std::string zsh_text(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '[' || c == ']' || c == ':' || c == '\\') out += '\\';
    out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  }
  return out;
}

template <typename Visit>
void for_each_option(const CommandSpec& command, Visit visit) {
  for (const OptionSpec& option : command.options) visit(option);
  for (const OptionSpec& option : common_options()) visit(option);
}

template <typename Visit>
void for_each_command(Visit visit) {
  for (const CommandSpec* command : command_table())
    if (!command->hidden) visit(*command);
}

/// "-q,--quiet" -> "-q --quiet".
std::string spaced(std::string_view flags) {
  std::string out(flags);
  if (const auto comma = out.find(','); comma != std::string::npos) out[comma] = ' ';
  return out;
}

}  // namespace

std::string bash_completion() {
  std::string names, options, choices;
  for_each_command([&](const CommandSpec& command) {
    names += std::string(command.name) + " ";
    std::string flags;
    for_each_option(command, [&](const OptionSpec& option) {
      flags += spaced(option.flags) + " ";
      if (option.choices.empty()) return;
      const auto at = option.flags.rfind("--");
      choices += "    " + std::string(command.name) + "," + std::string(option.flags.substr(at)) +
                 ") COMPREPLY=($(compgen -W \"" + std::string(option.choices) +
                 "\" -- \"$current\")); return ;;\n";
    });
    options += "    " + std::string(command.name) + ") flags=\"" + flags + "\" ;;\n";
  });
  return "# bash completion for kilter\n_kilter() {\n"
         "  local current=\"${COMP_WORDS[COMP_CWORD]}\" previous=\"${COMP_WORDS[COMP_CWORD-1]}\"\n"
         "  local command=\"${COMP_WORDS[1]}\" flags=\"\"\n"
         "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
         "    COMPREPLY=($(compgen -W \"" +
         names +
         "--version --help\" -- \"$current\")); return\n  fi\n  case \"$command,$previous\" in\n" +
         choices + "  esac\n  case \"$command\" in\n" + options +
         "  esac\n  if [[ \"$current\" == -* ]]; then\n"
         "    COMPREPLY=($(compgen -W \"$flags\" -- \"$current\"))\n  elif [ \"$command\" = help "
         "]; then\n"
         "    COMPREPLY=($(compgen -W \"" +
         names +
         "\" -- \"$current\"))\n  else\n    COMPREPLY=($(compgen -f -- \"$current\"))\n  fi\n}\n"
         "complete -o filenames -F _kilter kilter\n";
}

std::string zsh_completion() {
  std::string commands, cases;
  for_each_command([&](const CommandSpec& command) {
    commands += "    '" + std::string(command.name) + ":" + zsh_text(command.summary) + "'\n";
    cases += "    " + std::string(command.name) + ")\n      _arguments";
    for_each_option(command, [&](const OptionSpec& option) {
      const auto at = option.flags.rfind("--");
      const std::string star = option.repeatable ? "*" : "";
      cases += " \\\n        '" + star + std::string(option.flags.substr(at)) + "[" +
               zsh_text(option.help) + "]";
      if (!option.choices.empty())
        cases += ":" + zsh_text(option.value_name) + ":(" + std::string(option.choices) + ")";
      else if (option.kind != ValueKind::kFlag)
        cases += ":" + zsh_text(option.value_name) + ":" +
                 (option.kind == ValueKind::kPath ? "_files" : "");
      cases += "'";
    });
    cases += " \\\n        '*:file:_files' ;;\n";
  });
  return "#compdef kilter\n_kilter() {\n  local -a commands=(\n" + commands +
         "  )\n  if (( CURRENT == 2 )); then\n    _describe command commands\n    return\n  fi\n"
         "  local command=$words[2]\n  shift words; (( CURRENT-- ))\n  case $command in\n" +
         cases + "  esac\n}\n_kilter \"$@\"\n";
}

std::string fish_completion() {
  std::string out = "# fish completion for kilter\n";
  for_each_command([&](const CommandSpec& command) {
    out += "complete -c kilter -n __fish_use_subcommand -f -a " + std::string(command.name) +
           " -d '" + quoted(command.summary) + "'\n";
    for_each_option(command, [&](const OptionSpec& option) {
      const auto at = option.flags.rfind("--");
      out += "complete -c kilter -n '__fish_seen_subcommand_from " + std::string(command.name) +
             "' -l " + std::string(option.flags.substr(at + 2)) + " -d '" + quoted(option.help) +
             "'";
      if (!option.choices.empty())
        out += " -x -a '" + std::string(option.choices) + "'";
      else if (option.kind != ValueKind::kFlag && option.kind != ValueKind::kOptional)
        out += " -r";
      out += "\n";
    });
  });
  return out;
}

}  // namespace kilter::cli
