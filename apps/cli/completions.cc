#include "cli/completions.h"

#include <algorithm>
#include <vector>

#include "cli/command.h"

namespace kilter::cli {

namespace {

/// Text inside single quotes of a shell.
std::string completion_quoted(std::string_view text) {
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

/// What may stand as the first word: a command of one word, or the name of a group with its verbs.
struct FirstWord {
  std::string word;
  std::string summary;  ///< a group's: the list of its verbs
  std::vector<const CommandSpec*> verbs;
};

/// "adapter apply" -> "adapter"; the whole name if it has one word.
std::string first_word(const CommandSpec& command) {
  return std::string(command.name.substr(0, command.name.find(' ')));
}

/// "adapter apply" -> "apply"; empty if the name has one word.
std::string verb_word(const CommandSpec& command) {
  const auto space = command.name.find(' ');
  return space == std::string_view::npos ? "" : std::string(command.name.substr(space + 1));
}

std::string verbs_of(const FirstWord& group, std::string_view between) {
  std::string out;
  for (const CommandSpec* verb : group.verbs)
    out += (out.empty() ? std::string() : std::string(between)) + verb_word(*verb);
  return out;
}

std::vector<FirstWord> first_words() {
  std::vector<FirstWord> out;
  for_each_command([&](const CommandSpec& command) {
    const std::string word = first_word(command);
    if (std::any_of(out.begin(), out.end(), [&](const auto& known) { return known.word == word; }))
      return;
    FirstWord& added = out.emplace_back(FirstWord{word, std::string(command.summary), {}});
    added.verbs = commands_of_group(word);
    if (!added.verbs.empty()) added.summary = verbs_of(added, ", ");
  });
  return out;
}

std::vector<FirstWord> groups() {
  std::vector<FirstWord> out = first_words();
  std::erase_if(out, [](const FirstWord& first) { return first.verbs.empty(); });
  return out;
}

/// A name as a pattern of `case`, where a space must be quoted.
std::string pattern(const CommandSpec& command) {
  const std::string name(command.name);
  return name.find(' ') == std::string::npos ? name : "\"" + name + "\"";
}

/// In bash, the second word of a group is completed, then both words are the command.
std::string bash_groups() {
  std::string out;
  for (const FirstWord& group : groups())
    out += "    " + group.word +
           ") if [ \"$COMP_CWORD\" -eq 2 ]; then\n        COMPREPLY=($(compgen -W \"" +
           verbs_of(group, " ") +
           "\" -- \"$current\")); return\n      fi\n"
           "      command=\"$command ${COMP_WORDS[2]}\" ;;\n";
  return out.empty() ? "" : "  case \"$command\" in\n" + out + "  esac\n";
}

std::string zsh_groups() {
  std::string out;
  for (const FirstWord& group : groups()) {
    out += "    " + group.word + ")\n      local -a verbs=(\n";
    for (const CommandSpec* verb : group.verbs)
      out += "        '" + verb_word(*verb) + ":" + zsh_text(verb->summary) + "'\n";
    out +=
        "      )\n      if (( CURRENT == 2 )); then\n        _describe command verbs\n"
        "        return\n      fi\n      command=\"$command $words[2]\"\n"
        "      shift words; (( CURRENT-- )) ;;\n";
  }
  return out.empty() ? "" : "  case $command in\n" + out + "  esac\n";
}

/// When fish offers a command's options: its words were seen, and no group's whose verb it shares.
std::string fish_condition(const CommandSpec& command) {
  const std::string verb = verb_word(command);
  std::string out = "__fish_seen_subcommand_from " + first_word(command);
  if (!verb.empty()) return out + "; and __fish_seen_subcommand_from " + verb;
  std::string sharing;
  for (const FirstWord& group : groups())
    if (find_command(group.word + " " + out.substr(out.rfind(' ') + 1)) != nullptr)
      sharing += " " + group.word;
  return sharing.empty() ? out : out + "; and not __fish_seen_subcommand_from" + sharing;
}

/// The names fish offers: first words, then a group's verbs.
std::string fish_names() {
  std::string out;
  for (const FirstWord& first : first_words())
    out += "complete -c kilter -n __fish_use_subcommand -f -a " + first.word + " -d '" +
           completion_quoted(first.summary) + "'\n";
  for (const FirstWord& group : groups())
    for (const CommandSpec* verb : group.verbs)
      out += "complete -c kilter -n '__fish_seen_subcommand_from " + group.word +
             "; and not __fish_seen_subcommand_from " + verbs_of(group, " ") + "' -f -a " +
             verb_word(*verb) + " -d '" + completion_quoted(verb->summary) + "'\n";
  return out;
}

}  // namespace

std::string bash_completion() {
  std::string names, options, choices;
  for (const FirstWord& first : first_words()) names += first.word + " ";
  for_each_command([&](const CommandSpec& command) {
    std::string flags;
    for_each_option(command, [&](const OptionSpec& option) {
      flags += spaced(option.flags) + " ";
      if (option.choices.empty()) return;
      const auto at = option.flags.rfind("--");
      choices += "    " + pattern(command) + "," + std::string(option.flags.substr(at)) +
                 ") COMPREPLY=($(compgen -W \"" + std::string(option.choices) +
                 "\" -- \"$current\")); return ;;\n";
    });
    options += "    " + pattern(command) + ") flags=\"" + flags + "\" ;;\n";
  });
  return "# bash completion for kilter\n_kilter() {\n"
         "  local current=\"${COMP_WORDS[COMP_CWORD]}\" previous=\"${COMP_WORDS[COMP_CWORD-1]}\"\n"
         "  local command=\"${COMP_WORDS[1]}\" flags=\"\"\n"
         "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
         "    COMPREPLY=($(compgen -W \"" +
         names + "--version --help\" -- \"$current\")); return\n  fi\n" + bash_groups() +
         "  case \"$command,$previous\" in\n" + choices + "  esac\n  case \"$command\" in\n" +
         options +
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
  for (const FirstWord& first : first_words())
    commands += "    '" + first.word + ":" + zsh_text(first.summary) + "'\n";
  for_each_command([&](const CommandSpec& command) {
    cases += "    " + pattern(command) + ")\n      _arguments";
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
         "  local command=$words[2]\n  shift words; (( CURRENT-- ))\n" +
         zsh_groups() + "  case $command in\n" + cases + "  esac\n}\n_kilter \"$@\"\n";
}

std::string fish_completion() {
  std::string out = "# fish completion for kilter\n" + fish_names();
  for_each_command([&](const CommandSpec& command) {
    for_each_option(command, [&](const OptionSpec& option) {
      const auto at = option.flags.rfind("--");
      out += "complete -c kilter -n '" + fish_condition(command) + "' -l " +
             std::string(option.flags.substr(at + 2)) + " -d '" + completion_quoted(option.help) +
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
