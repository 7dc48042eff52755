// The table of commands: parsing, help, man pages and completions all read it.
#pragma once

#include <cstdio>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kilter/error.h"
#include "kilter/progress.h"

namespace kilter::cli {

enum class ValueKind : std::uint8_t {
  kFlag,      ///< no value
  kText,      ///< one value
  kBytes,     ///< "512MiB"
  kCount,     ///< a whole number
  kPath,      ///< completed as a file name
  kChoice,    ///< one of `choices`
  kOptional,  ///< a value or none: --tensors [GLOB]
};

struct OptionSpec {
  std::string_view flags;  ///< "-q,--quiet": the last one is the name commands ask for
  ValueKind kind = ValueKind::kFlag;
  std::string_view value_name = {};  ///< "GLOB"
  std::string_view help = {};
  bool repeatable = false;
  std::string_view choices = {};  ///< "text json sarif"
};

struct PositionalSpec {
  std::string_view name;  ///< "SRC"
  std::string_view help;
  bool repeatable = false;
};

/// What was given on the command line, already checked against the table.
class Arguments {
 public:
  std::map<std::string, std::vector<std::string>, std::less<>> values;  ///< by long name, no dashes
  std::vector<std::string> positionals;

  bool has(std::string_view name) const { return values.find(name) != values.end(); }
  std::string text(std::string_view name, std::string_view otherwise = "") const;
  std::vector<std::string> all(std::string_view name) const;
  std::uint64_t bytes(std::string_view name, std::uint64_t otherwise) const;
  unsigned count(std::string_view name, unsigned otherwise) const;
};

/// How output shall look, decided once in main().
struct Terminal {
  bool json = false;
  bool quiet = false;
  bool colour_out = false;  ///< standard output
  bool colour_err = false;
  int width_columns = 80;
};

struct Invocation {
  Arguments arguments;
  Terminal terminal;
  RunContext context;
};

struct CommandSpec {
  std::string_view name;         ///< "scan"; of a group: "adapter apply"
  std::string_view summary;      ///< one line
  std::string_view description;  ///< a few paragraphs
  std::span<const PositionalSpec> positionals;
  std::span<const OptionSpec> options;
  std::string_view examples;       ///< lines "kilter …  # why"
  std::string_view exit_statuses;  ///< lines "0  …"
  int (*run)(const Invocation& invocation);
  bool hidden = false;
};

std::span<const CommandSpec* const> command_table();
/// Options every command has: --json, --quiet, --color, --help.
std::span<const OptionSpec> common_options();
/// By its whole name: "scan", "adapter apply".
const CommandSpec* find_command(std::string_view name);
/// By the words of a command line: two words are tried before one. `used` is how many the name
/// took.
const CommandSpec* find_command(std::span<const std::string_view> words, std::size_t* used);
/// The commands that begin with this word and have another: of "adapter" its verbs.
std::vector<const CommandSpec*> commands_of_group(std::string_view word);
/// "adapter apply" -> "adapter-apply": the name where no space may stand, as in a man page's.
std::string dashed_name(const CommandSpec& command);

/// Prints an error the way the invocation wants it and returns its exit status.
int report_error(const Error& error, const Terminal& terminal);

/// Parses; prints help or a usage error itself. nullopt-like: `exit_status` >= 0 means stop.
struct Parsed {
  const CommandSpec* command = nullptr;
  Arguments arguments;
  int exit_status = -1;
};
Parsed parse(int argc, const char* const* argv);

/// "kilter inspect ADDR [options]".
std::string usage_line(const CommandSpec& command);
std::string help_text(const CommandSpec& command, bool colour);
std::string overview_text(bool colour);
/// The commands of one group, as `kilter adapter --help` prints them.
std::string group_text(std::string_view word);

// One per command, in commands/.
extern const CommandSpec kInspectCommand;
extern const CommandSpec kScanCommand;
extern const CommandSpec kVerifyCommand;
extern const CommandSpec kConvertCommand;
extern const CommandSpec kReshardCommand;
extern const CommandSpec kCastCommand;
extern const CommandSpec kAverageCommand;
extern const CommandSpec kMergeCommand;
extern const CommandSpec kAdapterInspectCommand;
extern const CommandSpec kAdapterExtractCommand;
extern const CommandSpec kAdapterResizeCommand;
extern const CommandSpec kAdapterCombineCommand;
extern const CommandSpec kAdapterApplyCommand;
extern const CommandSpec kPruneCommand;
extern const CommandSpec kStripCommand;
extern const CommandSpec kRenameCommand;
extern const CommandSpec kShardCommand;
extern const CommandSpec kAdapterConvertCommand;
extern const CommandSpec kReproduceCommand;
extern const CommandSpec kSaveCommand;
extern const CommandSpec kLogCommand;
extern const CommandSpec kShowCommand;
extern const CommandSpec kRestoreCommand;
extern const CommandSpec kLsCommand;
extern const CommandSpec kCatCommand;
extern const CommandSpec kTagCommand;
extern const CommandSpec kBranchCommand;
extern const CommandSpec kDeltaApplyCommand;
extern const CommandSpec kDeltaMakeCommand;
extern const CommandSpec kDiffCommand;
extern const CommandSpec kRetainCommand;
extern const CommandSpec kRemoveCommand;
extern const CommandSpec kCollectCommand;
extern const CommandSpec kCompactCommand;
extern const CommandSpec kStatsCommand;
extern const CommandSpec kCheckCommand;
extern const CommandSpec kRepairCommand;
extern const CommandSpec kPushCommand;
extern const CommandSpec kPullCommand;
extern const CommandSpec kCloneCommand;
extern const CommandSpec kMountCommand;
extern const CommandSpec kTortureCommand;
extern const CommandSpec kCompletionsCommand;
extern const CommandSpec kHelpCommand;
extern const CommandSpec kEmaCommand;
extern const CommandSpec kGenerateCommand;

}  // namespace kilter::cli
