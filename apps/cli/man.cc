#include "cli/man.h"

#include "kilter/version.h"

namespace kilter::cli {

namespace {

/// Text as troff wants it: hyphens that stay hyphens, no line taken for a request.
std::string roff(std::string_view text) {
  std::string out;
  bool line_start = true;
  for (const char c : text) {
    if (line_start && (c == '.' || c == '\'')) out += "\\&";
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else {
      out += c;
    }
    line_start = c == '\n';
  }
  return out;
}

std::string header(std::string_view page, std::string_view summary) {
  std::string upper;
  for (const char c : page) upper += static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c);
  return ".TH " + roff(upper) + " 1 \"\" \"kilter " + std::string(version()) +
         "\" \"Kilter Manual\"\n.SH NAME\n" + roff(page) + " \\- " + roff(summary) + "\n";
}

std::string option_rows(std::span<const OptionSpec> options) {
  std::string out;
  for (const OptionSpec& option : options) {
    out += ".TP\n\\fB" + roff(option.flags) + "\\fR";
    if (!option.value_name.empty()) out += " \\fI" + roff(option.value_name) + "\\fR";
    out += "\n" + roff(option.help) + "\n";
  }
  return out;
}

std::string paragraphs(std::string_view text) {
  std::string out;
  for (const char c : text) out += c == '\n' ? std::string("\n.PP\n") : roff({&c, 1});
  return out + "\n";
}

std::string verbatim(std::string_view lines) { return ".nf\n" + roff(lines) + "\n.fi\n"; }

}  // namespace

std::string command_man(const CommandSpec& command) {
  std::string out = header("kilter-" + dashed_name(command), command.summary);
  out += ".SH SYNOPSIS\n" + roff(usage_line(command)) + "\n";
  out += ".SH DESCRIPTION\n" + paragraphs(command.description);
  out += ".SH OPTIONS\n" + option_rows(command.options) + option_rows(common_options());
  if (!command.examples.empty()) out += ".SH EXAMPLES\n" + verbatim(command.examples);
  out += ".SH EXIT STATUS\n" + verbatim(command.exit_statuses);
  return out + ".SH SEE ALSO\n.BR kilter (1)\n";
}

std::string overview_man() {
  std::string out = header("kilter", "the checkpoint system for AI models");
  out += ".SH SYNOPSIS\nkilter COMMAND [arguments]\n.SH DESCRIPTION\n";
  out +=
      "Opens, recognizes, judges, checks and converts model checkpoints. Nothing inside a file is "
      "ever executed.\n.SH COMMANDS\n";
  std::string also;
  for (const CommandSpec* command : command_table()) {
    if (command->hidden) continue;
    out += ".TP\n\\fB" + roff(command->name) + "\\fR\n" + roff(command->summary) + "\n";
    also += (also.empty() ? "" : ",\n") + std::string(".BR kilter\\-") +
            roff(dashed_name(*command)) + " (1)";
  }
  return out + ".SH SEE ALSO\n" + also + "\n";
}

}  // namespace kilter::cli
