// kilter reproduce ADDR DST: makes an output again from its own recipe and compares.
#include <cstdio>

#include <nlohmann/json.hpp>

#include "kilter/delta.h"

#include "base/json.h"
#include "base/text.h"
#include "base/try.h"
#include "cli/command.h"
#include "cli/style.h"
#include "cli/weights_options.h"
#include "store/address.h"

namespace kilter::cli {

namespace {
namespace reproduce_command {

constexpr PositionalSpec kPositionals[] = {
    {"ADDR", "What an operation on weights wrote: cast, average, merge, prune, …"},
    {"DST", "Where to write it anew; its extension says the format"}};
constexpr OptionSpec kOptions[] = {
    {"-f,--force", ValueKind::kFlag, "", "Replace DST if it exists"},
    {"--max-memory", ValueKind::kBytes, "SIZE", "Memory for buffers; default 512MiB"},
    {"--threads", ValueKind::kCount, "N", "Threads; default: all processors"},
};

void print_json(const ReproduceReport& report) {
  Json out = {{"same", report.same}, {"expected", report.expected}, {"found", report.found}};
  if (auto recipe = parse_json(report.recipe); recipe) out["recipe"] = *std::move(recipe);
  out["target"] = report.made.target_path;
  out["seconds"] = report.made.seconds;
  std::printf("%s\n", dump_json(out).c_str());
}

/// The recipe may name steps in stores.
Result<ReproduceReport> make(const std::vector<std::string>& paths, WeightsOptions& options) {
  const auto own_files = store::files_for({paths.at(0)});
  options.open.files = own_files.get();
  KILTER_ASSIGN(std::vector<std::string> addresses, recipe_sources(paths.at(0), options.open));
  addresses.push_back(paths.at(0));
  const auto files = store::files_for(addresses, &options.max_memory_bytes);
  options.open.files = files.get();
  return reproduce_any(paths.at(0), paths.at(1), options);
}

int run(const Invocation& invocation) {
  const auto& paths = invocation.arguments.positionals;
  WeightsOptions options;
  if (const Status read = read_weights_options(invocation, options); !read)
    return report_error(read.error(), invocation.terminal);
  const auto report = make(paths, options);
  if (!report) return report_error(report.error(), invocation.terminal);
  const Style style(invocation.terminal.colour_out);
  if (invocation.terminal.json) {
    print_json(*report);
  } else if (report->same) {
    std::printf("%s  %s is %s made again: content %s\n", style.good("same").c_str(),
                escape_text(report->made.target_path).c_str(), escape_text(paths.at(0)).c_str(),
                report->found.c_str());
  } else {
    std::printf("%s  content %s, made again %s\n", style.bad("different").c_str(),
                report->expected.c_str(), report->found.c_str());
  }
  return report->same ? 0 : 1;
}

}  // namespace reproduce_command
}  // namespace

const CommandSpec kReproduceCommand = {
    .name = "reproduce",
    .summary = "Make weights again from the recipe they carry, and compare",
    .description =
        "What cast, average, merge, prune, strip, rename and shard write carries its recipe: the "
        "operation, its inputs with "
        "digests of their contents, and every option that names content. This checks that the "
        "inputs are what they were, follows the recipe into DST and compares the contents.",
    .positionals = reproduce_command::kPositionals,
    .options = reproduce_command::kOptions,
    .examples = "kilter reproduce soup.safetensors again.safetensors",
    .exit_statuses =
        "0    made again, with the same content\n"
        "1    made again, with other content\n"
        "2    wrong usage, or DST exists and --force was not given\n"
        "3    an input is not what it was, or the recipe is malformed\n"
        "4    there is no recipe, or an input is gone\n"
        "5    I/O error or no space; nothing of DST stays\n"
        "130  interrupted; nothing of DST stays",
    .run = reproduce_command::run,
};

}  // namespace kilter::cli
