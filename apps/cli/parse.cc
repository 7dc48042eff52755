// From argv to Arguments, through CLI11. The only file that knows CLI11.
#include <algorithm>
#include <cstdio>
#include <memory>

#include <CLI/CLI.hpp>

#include "kilter/version.h"

#include "base/text.h"
#include "cli/command.h"

namespace kilter::cli {

namespace {

/// "-q,--quiet" -> "quiet".
std::string long_name(std::string_view flags) {
  const auto at = flags.rfind("--");
  return std::string(at == std::string_view::npos ? flags : flags.substr(at + 2));
}

std::string check_bytes(const std::string& text) {
  std::uint64_t bytes = 0;
  return parse_bytes(text, &bytes) ? "" : "'" + text + "' is no size: write 512MiB, 2G or 4096";
}

std::string check_count(const std::string& text) {
  const bool digits =
      !text.empty() && text.size() < 8 && text.find_first_not_of("0123456789") == std::string::npos;
  return digits ? "" : "'" + text + "' is no whole number";
}

std::vector<std::string> split_words(std::string_view words) {
  std::vector<std::string> out;
  std::string word;
  for (const char c : words) {
    if (c != ' ') {
      word += c;
    } else if (!word.empty()) {
      out.push_back(std::move(word));
      word.clear();
    }
  }
  if (!word.empty()) out.push_back(word);
  return out;
}

/// One option of the table as CLI11 knows it, with the place its values go.
struct Bound {
  const OptionSpec* spec = nullptr;
  CLI::Option* option = nullptr;
  std::vector<std::string> values;
  bool flag = false;
};

void bind(CLI::App& app, const OptionSpec& spec, Bound* bound) {
  bound->spec = &spec;
  const std::string flags(spec.flags);
  if (spec.kind == ValueKind::kFlag) {
    bound->option = app.add_flag(flags, bound->flag);
    return;
  }
  bound->option = app.add_option(flags, bound->values);
  if (spec.kind == ValueKind::kOptional) {
    bound->option->expected(0, 1);
  } else {
    bound->option->expected(1);
    bound->option->multi_option_policy(spec.repeatable ? CLI::MultiOptionPolicy::TakeAll
                                                       : CLI::MultiOptionPolicy::TakeLast);
  }
  bound->option->allow_extra_args(false);
  if (spec.kind == ValueKind::kBytes) bound->option->check(check_bytes);
  if (spec.kind == ValueKind::kCount) bound->option->check(check_count);
  if (spec.kind == ValueKind::kChoice)
    bound->option->check(CLI::IsMember(split_words(spec.choices)));
}

Arguments collect(const std::vector<std::unique_ptr<Bound>>& options,
                  std::vector<std::string> positionals) {
  Arguments out;
  for (const auto& bound : options)
    if (bound->option->count() > 0) out.values[long_name(bound->spec->flags)] = bound->values;
  out.positionals = std::move(positionals);
  return out;
}

/// `inspect --tensors FILE`: the file is meant, not a glob, where an argument would be missing.
void give_back_values(const CommandSpec& command, Arguments* arguments) {
  for (const OptionSpec& spec : command.options) {
    if (spec.kind != ValueKind::kOptional) continue;
    const auto found = arguments->values.find(long_name(spec.flags));
    if (found == arguments->values.end()) continue;
    auto& values = found->second;
    std::erase(values, "");
    if (!values.empty() && arguments->positionals.size() < command.positionals.size()) {
      arguments->positionals.push_back(values.back());
      values.clear();
    }
  }
}

/// Too few, or more than the table takes: what is wrong, in words; empty if nothing.
std::string check_positionals(const CommandSpec& command, std::size_t count) {
  std::size_t least = 0, most = command.positionals.size();
  for (const PositionalSpec& spec : command.positionals) {
    if (spec.name.front() != '[') ++least;
    if (spec.repeatable) most = std::string::npos;
  }
  if (count < least) return std::string(command.positionals[count].name) + " is missing";
  return count > most ? "too many arguments" : "";
}

bool wants_json(int argc, const char* const* argv) {
  for (int i = 1; i < argc; ++i)
    if (std::string_view(argv[i]) == "--json") return true;
  return false;
}

int usage_error(const std::string& message, std::string_view command, bool json) {
  Error error(ErrorCode::kInvalidArgument, message);
  error.hint =
      command.empty() ? "see `kilter --help`" : "see `kilter " + std::string(command) + " --help`";
  Terminal terminal;
  terminal.json = json;
  return report_error(error, terminal);
}

/// No command has this name; of a group, its verbs are shown. Returns the exit status.
int no_command(std::span<const std::string_view> words, bool json) {
  const bool second = words.size() > 1 && !words[1].starts_with('-');
  const bool group = !commands_of_group(words[0]).empty();
  if (group && !second) {
    const bool asked = words.size() > 1 && (words[1] == "--help" || words[1] == "-h");
    if (!asked && json)
      return usage_error("'" + std::string(words[0]) + "' wants a second word", words[0], json);
    std::fputs(group_text(words[0]).c_str(), asked ? stdout : stderr);
    return asked ? 0 : 2;
  }
  std::string name(words[0]);
  if (group) name += " " + std::string(words[1]);
  return usage_error("there is no command '" + name + "'", group ? words[0] : "", json);
}

/// CLI11 parses from the back of a reversed vector.
std::vector<std::string> reversed_arguments(int argc, const char* const* argv, int first) {
  std::vector<std::string> out;
  for (int i = argc - 1; i >= first; --i) out.emplace_back(argv[i]);
  return out;
}

}  // namespace

Parsed parse(int argc, const char* const* argv) {
  Parsed parsed;
  const bool json = wants_json(argc, argv);
  const std::string_view first = argc > 1 ? std::string_view(argv[1]) : std::string_view();
  if (first.empty() || first == "--help" || first == "-h") {
    std::fputs(overview_text(false).c_str(), first.empty() ? stderr : stdout);
    parsed.exit_status = first.empty() ? 2 : 0;
    return parsed;
  }
  if (first == "--version" || first == "-V") {
    std::printf("kilter %.*s\n", static_cast<int>(version().size()), version().data());
    parsed.exit_status = 0;
    return parsed;
  }
  const std::vector<std::string_view> words(argv + 1, argv + std::min(argc, 3));
  std::size_t used = 0;
  parsed.command = find_command(words, &used);
  if (parsed.command == nullptr) {
    parsed.exit_status = no_command(words, json);
    return parsed;
  }
  const std::string_view name = parsed.command->name;

  CLI::App app;
  app.set_help_flag();
  std::vector<std::unique_ptr<Bound>> options;
  for (const auto& group : {common_options(), parsed.command->options})
    for (const OptionSpec& spec : group)
      bind(app, spec, options.emplace_back(std::make_unique<Bound>()).get());
  std::vector<std::string> positionals;
  app.add_option("arguments", positionals)->expected(0, 1 << 20);
  try {
    app.parse(reversed_arguments(argc, argv, 1 + static_cast<int>(used)));
  } catch (const CLI::ParseError& fault) {
    parsed.exit_status = usage_error(fault.what(), name, json);
    return parsed;
  }
  parsed.arguments = collect(options, std::move(positionals));
  if (parsed.arguments.has("help")) {
    std::fputs(help_text(*parsed.command, false).c_str(), stdout);
    parsed.exit_status = 0;
    return parsed;
  }
  give_back_values(*parsed.command, &parsed.arguments);
  const std::string fault = check_positionals(*parsed.command, parsed.arguments.positionals.size());
  if (!fault.empty()) parsed.exit_status = usage_error(fault, name, json);
  return parsed;
}

}  // namespace kilter::cli
