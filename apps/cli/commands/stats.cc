// kilter stats ADDR: the numbers in a checkpoint, or what a store is made of.
#include "kilter/stats.h"

#include <cstdio>

#include "base/try.h"
#include "cli/command.h"
#include "cli/html_page.h"
#include "cli/html_reports.h"
#include "cli/stats_text.h"
#include "cli/store_stats_text.h"
#include "cli/weights_options.h"
#include "store/address.h"

namespace kilter::cli {

namespace {
namespace stats_command {

constexpr PositionalSpec kPositionals[] = {
    {"ADDR", "A checkpoint: a file, a folder, a step in a store; or a store"}};
constexpr OptionSpec kOptions[] = {
    {"--only", ValueKind::kText, "GLOB", "Only tensors of such names; repeatable", true},
    {"--sort", ValueKind::kChoice, "KEY",
     "notable (what stands out first, the default), name, file, size, deviation, kurtosis or "
     "largest",
     false, kStatsSorts},
    {"--all", ValueKind::kFlag, "", "List every tensor"},
    {"--outlier-sigma", ValueKind::kText, "K",
     "A row or column is an outlier if its norm is above the mean of all by K deviations (5)"},
    {"--html", ValueKind::kPath, "FILE", "Write a page with a heat map and every tensor as well"},
    {"-f,--force", ValueKind::kFlag, "", "Replace FILE if it exists"},
    {"--threads", ValueKind::kCount, "N", "Threads; default: all processors"},
};

Result<StatsOptions> read_options(const Invocation& invocation) {
  StatsOptions options;
  options.only = invocation.arguments.all("only");
  options.thread_count = invocation.arguments.count("threads", 0);
  options.context = invocation.context;
  if (invocation.arguments.has("outlier-sigma")) {
    KILTER_ASSIGN(options.outlier_deviations,
                  read_number(invocation.arguments.text("outlier-sigma"), "--outlier-sigma"));
  }
  return options;
}

Status print_numbers(const std::string& address, const Invocation& invocation) {
  KILTER_ASSIGN(StatsOptions options, read_options(invocation));
  const std::string page = invocation.arguments.text("html");
  const bool force = invocation.arguments.has("force");
  if (!page.empty()) KILTER_TRY(check_page_target(page, force));
  const auto files = store::files_for({address});
  options.open.files = files.get();
  KILTER_ASSIGN(const CheckpointStats stats, checkpoint_stats(address, options));
  if (!page.empty()) KILTER_TRY(write_page(page, stats_page(stats), force));
  if (invocation.terminal.json) {
    std::printf("%s\n", stats_json(stats).c_str());
    return ok();
  }
  StatsView view;
  view.sort = invocation.arguments.text("sort", view.sort);
  view.all = invocation.arguments.has("all");
  print_checkpoint_stats(stats, invocation.terminal, view);
  return ok();
}

int run(const Invocation& invocation) {
  const std::string& address = invocation.arguments.positionals[0];
  const auto parsed = store::parse_store_address(address);
  const bool is_store = parsed && !parsed->stated;
  const Status done =
      is_store ? print_store_stats(parsed->store, invocation) : print_numbers(address, invocation);
  return done ? 0 : report_error(done.error(), invocation.terminal);
}

}  // namespace stats_command
}  // namespace

const CommandSpec kStatsCommand = {
    .name = "stats",
    .summary = "Show what numbers a checkpoint holds, or what occupies a store",
    .description =
        "Of a checkpoint (a file, a folder, a step in a store): for every tensor and in all the "
        "range, mean, deviation, norms, kurtosis and histogram, zeros, subnormal numbers, NaN and "
        "infinities, and of its rows and columns which are dead (all zero) and which are outliers: "
        "those whose norm is above the mean of its kind by more than 5 deviations "
        "(--outlier-sigma). Numbers are added up in binary64, the same for any number of threads.\n"
        "Of a store (its own path, without @): sizes of all commits as files, as unique chunks and "
        "as stored, by form and element.",
    .positionals = stats_command::kPositionals,
    .options = stats_command::kOptions,
    .examples =
        "kilter stats model.safetensors\n"
        "kilter stats model/ --only '*mlp*' --sort largest\n"
        "kilter stats runs.kilter@step:1200 --json\n"
        "kilter stats model.safetensors --html stats.html\n"
        "kilter stats runs.kilter                      # of the store itself",
    .exit_statuses =
        "0    done\n2    wrong usage, or FILE exists and --force was not given\n3    the "
        "checkpoint or store is damaged or none\n"
        "4    not found\n5    I/O error\n130  interrupted",
    .run = stats_command::run,
};

}  // namespace kilter::cli
