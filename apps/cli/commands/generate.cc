// kilter generate DIR: man pages and completions, written at build time.
#include <sys/stat.h>

#include <cstdio>
#include <string>

#include "cli/command.h"
#include "cli/completions.h"
#include "cli/man.h"

namespace kilter::cli {

namespace {
namespace generate_command {

constexpr PositionalSpec kPositionals[] = {{"DIR", "Folder to write share/ files to"}};

bool write_text(const std::string& path, const std::string& text) {
  std::FILE* file = std::fopen(path.c_str(), "wb");
  if (file == nullptr) return false;
  const bool wrote = std::fwrite(text.data(), 1, text.size(), file) == text.size();
  return std::fclose(file) == 0 && wrote;
}

int run(const Invocation& invocation) {
  const std::string root = invocation.arguments.positionals.at(0);
  const std::string man = root + "/man/man1", completions = root + "/completions";
  for (const std::string& folder : {root, root + "/man", man, completions})
    mkdir(folder.c_str(), 0755);
  bool good = write_text(man + "/kilter.1", overview_man());
  for (const CommandSpec* command : command_table()) {
    if (command->hidden) continue;
    good =
        good && write_text(man + "/kilter-" + dashed_name(*command) + ".1", command_man(*command));
  }
  good = good && write_text(completions + "/kilter.bash", bash_completion());
  good = good && write_text(completions + "/_kilter", zsh_completion());
  good = good && write_text(completions + "/kilter.fish", fish_completion());
  if (good) return 0;
  return report_error(Error(ErrorCode::kIo, "cannot write below " + root), invocation.terminal);
}

}  // namespace generate_command
}  // namespace

const CommandSpec kGenerateCommand = {
    .name = "generate",
    .summary = "Write man pages and completions (used by the build)",
    .description = "Writes man/man1/*.1 and completions/* below DIR.",
    .positionals = generate_command::kPositionals,
    .options = {},
    .examples = "",
    .exit_statuses = "0  written\n5  could not write",
    .run = generate_command::run,
    .hidden = true,
};

}  // namespace kilter::cli
