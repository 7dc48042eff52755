// From argv to Arguments, through CLI11. The only file that knows CLI11.
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
  if (spec.kind == ValueKind::kBytes) bound->option->check(check_bytes);
  if (spec.kind == ValueKind::kCount) bound->option->check(check_count);
  if (spec.kind == ValueKind::kChoice)
    bound->option->check(CLI::IsMember(split_words(spec.choices)));
}

Arguments collect(const std::vector<std::unique_ptr<Bound>>& options,
                  const std::vector<std::unique_ptr<std::vector<std::string>>>& positionals) {
  Arguments out;
  for (const auto& bound : options)
    if (bound->option->count() > 0) out.values[long_name(bound->spec->flags)] = bound->values;
  for (const auto& values : positionals)
    out.positionals.insert(out.positionals.end(), values->begin(), values->end());
  return out;
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
  parsed.command = find_command(first);
  if (parsed.command == nullptr) {
    parsed.exit_status = usage_error("there is no command '" + std::string(first) + "'", "", json);
    return parsed;
  }

  CLI::App app;
  app.set_help_flag();
  std::vector<std::unique_ptr<Bound>> options;
  for (const auto& group : {common_options(), parsed.command->options})
    for (const OptionSpec& spec : group)
      bind(app, spec, options.emplace_back(std::make_unique<Bound>()).get());
  std::vector<std::unique_ptr<std::vector<std::string>>> positionals;
  for (const PositionalSpec& spec : parsed.command->positionals) {
    auto& values = positionals.emplace_back(std::make_unique<std::vector<std::string>>());
    auto* option = app.add_option(std::string(spec.name), *values);
    option->expected(0, spec.repeatable ? 1 << 20 : 1);
  }
  try {
    app.parse(reversed_arguments(argc, argv, 2));
  } catch (const CLI::ParseError& fault) {
    parsed.exit_status = usage_error(fault.what(), first, json);
    return parsed;
  }
  parsed.arguments = collect(options, positionals);
  if (parsed.arguments.has("help")) {
    std::fputs(help_text(*parsed.command, false).c_str(), stdout);
    parsed.exit_status = 0;
    return parsed;
  }
  std::size_t wanted = 0;
  for (const auto& values : positionals) {
    const auto& spec = parsed.command->positionals[wanted++];
    if (values->empty() && spec.name.front() != '[') {
      parsed.exit_status = usage_error(std::string(spec.name) + " is missing", first, json);
      return parsed;
    }
  }
  return parsed;
}

}  // namespace kilter::cli
