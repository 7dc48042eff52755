// kilter collect, kilter compact, kilter stats: what a store occupies.
#include "store/keep/collect.h"

#include <fmt/format.h>

#include <cstdio>

#include "base/text.h"
#include "base/try.h"
#include "cli/command.h"
#include "cli/store_support.h"
#include "store/keep/compact.h"
#include "store/keep/stats.h"

namespace kilter::cli {

namespace {
namespace collect_command {

constexpr PositionalSpec kPositionals[] = {{"STORE", "A store"}};
constexpr OptionSpec kCollectOptions[] = {
    {"-n,--dry-run", ValueKind::kFlag, "", "Say what would be freed, remove nothing"},
};
constexpr OptionSpec kCompactOptions[] = {
    {"--max-chain", ValueKind::kCount, "N", "At most N other chunks behind one (default 16)"},
    {"--max-memory", ValueKind::kBytes, "SIZE", "Memory for buffers; default 512MiB"},
    {"-n,--dry-run", ValueKind::kFlag, "",
     "Encode everything, say what it would gain, keep nothing"},
};

Result<std::shared_ptr<store::Store>> open_named(const Invocation& invocation) {
  KILTER_ASSIGN(const auto address, require_store(invocation.arguments.positionals[0]));
  return store::open_store(address.store);
}

Json collected_json(const store::CollectReport& outcome) {
  return {{"removed_packs", outcome.removed_packs},
          {"removed_bytes", outcome.removed_bytes},
          {"waiting_packs", outcome.waiting_packs},
          {"waiting_bytes", outcome.waiting_bytes},
          {"dead_bytes", outcome.dead_bytes},
          {"swept_files", outcome.swept_files},
          {"writers", outcome.writers}};
}

void print_waiting(const store::CollectReport& outcome) {
  if (outcome.waiting_bytes == 0) return;
  std::printf("%s in %s packs wait until %zu running writers are done: run it again then\n",
              format_bytes(outcome.waiting_bytes).c_str(),
              format_count(outcome.waiting_packs).c_str(), outcome.writers.size());
}

Status collect(const Invocation& invocation) {
  KILTER_ASSIGN(const auto store, open_named(invocation));
  const bool dry_run = invocation.arguments.has("dry-run");
  KILTER_ASSIGN(const auto outcome, store::collect(*store, {dry_run, invocation.context}));
  if (invocation.terminal.json) {
    Json out = collected_json(outcome);
    out["dry_run"] = dry_run;
    print_json(out);
    return ok();
  }
  std::printf("%s %s in %s packs", dry_run ? "would free" : "freed",
              format_bytes(outcome.removed_bytes).c_str(),
              format_count(outcome.removed_packs).c_str());
  if (outcome.swept_files > 0)
    std::printf(", and %s files of writers that died", format_count(outcome.swept_files).c_str());
  std::printf("\n");
  print_waiting(outcome);
  if (outcome.dead_bytes > 1U << 20)
    std::printf("%s lie in packs that are still needed: `kilter compact` frees them\n",
                format_bytes(outcome.dead_bytes).c_str());
  return ok();
}

double ratio(std::uint64_t before, std::uint64_t after) {
  return after == 0 ? 1.0 : static_cast<double>(before) / static_cast<double>(after);
}

Status compact(const Invocation& invocation) {
  KILTER_ASSIGN(const auto store, open_named(invocation));
  store::CompactRequest request;
  request.dry_run = invocation.arguments.has("dry-run");
  request.chain_max = invocation.arguments.count("max-chain", request.chain_max);
  request.max_memory_bytes = invocation.arguments.bytes("max-memory", request.max_memory_bytes);
  request.context = invocation.context;
  KILTER_ASSIGN(const auto outcome, store::compact(*store, request));
  if (invocation.terminal.json) {
    print_json({{"dry_run", request.dry_run},
                {"before_bytes", outcome.before_bytes},
                {"after_bytes", outcome.after_bytes},
                {"encoded_chunks", outcome.encoded_count},
                {"smaller_chunks", outcome.smaller_count},
                {"collected", collected_json(outcome.collected)}});
    return ok();
  }
  std::printf(
      "%s%s to %s (%.2fx); %s of %s chunks looked at got smaller\n",
      request.dry_run ? "would go from " : "", format_bytes(outcome.before_bytes).c_str(),
      format_bytes(outcome.after_bytes).c_str(), ratio(outcome.before_bytes, outcome.after_bytes),
      format_count(outcome.smaller_count).c_str(), format_count(outcome.encoded_count).c_str());
  print_waiting(outcome.collected);
  return ok();
}

Json stats_json(const store::StoreStats& stats) {
  Json forms = Json::array();
  for (const store::FormStats& form : stats.forms)
    forms.push_back({{"form", form.form},
                     {"element", form.element},
                     {"chunks", form.chunk_count},
                     {"bytes", form.plain_bytes},
                     {"stored_bytes", form.stored_bytes}});
  Json depths = Json::object();
  for (const auto& [depth, count] : stats.chunks_by_depth) depths[std::to_string(depth)] = count;
  return {{"commits", stats.commit_count},
          {"retired", stats.retired_count},
          {"file_bytes", stats.file_bytes},
          {"unique_bytes", stats.unique_bytes},
          {"stored_bytes", stats.stored_bytes},
          {"packs", stats.pack_count},
          {"pack_bytes", stats.pack_bytes},
          {"index_bytes", stats.index_bytes},
          {"forms", forms},
          {"chunks_by_depth", depths}};
}

Status stats(const Invocation& invocation) {
  KILTER_ASSIGN(const auto store, open_named(invocation));
  KILTER_ASSIGN(const auto stats, store::store_stats(*store, invocation.context));
  if (invocation.terminal.json) {
    print_json(stats_json(stats));
    return ok();
  }
  std::printf("commits   %s, %s of them without data\n", format_count(stats.commit_count).c_str(),
              format_count(stats.retired_count).c_str());
  std::printf("files     %s if each were kept whole\n", format_bytes(stats.file_bytes).c_str());
  std::printf("unique    %s once each chunk is kept once (%.2fx)\n",
              format_bytes(stats.unique_bytes).c_str(),
              ratio(stats.file_bytes, stats.unique_bytes));
  std::printf("stored    %s as they are stored (%.2fx)\n", format_bytes(stats.stored_bytes).c_str(),
              ratio(stats.file_bytes, stats.stored_bytes));
  std::printf("on disk   %s in %s packs, index %s\n", format_bytes(stats.pack_bytes).c_str(),
              format_count(stats.pack_count).c_str(), format_bytes(stats.index_bytes).c_str());
  const Style style(invocation.terminal.colour_out);
  std::printf("%s\n", style
                          .dim(fmt::format("{:<10}{:<8}{:>10}{:>12}{:>12}{:>11}", "form", "element",
                                           "chunks", "bytes", "stored", "ratio"))
                          .c_str());
  for (const store::FormStats& form : stats.forms)
    std::printf("%s\n", fmt::format("{:<10}{:<8}{:>10}{:>12}{:>12}{:>10.2f}x", form.form,
                                    form.element, format_count(form.chunk_count),
                                    format_bytes(form.plain_bytes), format_bytes(form.stored_bytes),
                                    ratio(form.plain_bytes, form.stored_bytes))
                            .c_str());
  return ok();
}

int finish(const Status& done, const Invocation& invocation) {
  return done ? 0 : report_error(done.error(), invocation.terminal);
}
int run_collect(const Invocation& invocation) { return finish(collect(invocation), invocation); }
int run_compact(const Invocation& invocation) { return finish(compact(invocation), invocation); }
int run_stats(const Invocation& invocation) { return finish(stats(invocation), invocation); }

constexpr std::string_view kExitStatuses =
    "0    done\n2    wrong usage, or another one is running\n"
    "3    the store is damaged: nothing was removed\n4    no such store\n"
    "5    I/O error or no space\n130  interrupted; what is done stays done";

}  // namespace collect_command
}  // namespace

const CommandSpec kCollectCommand = {
    .name = "collect",
    .summary = "Free the space of what no reference needs",
    .description =
        "Removes packs that hold nothing any branch, tag or kept commit needs. Safe beside running "
        "savers and readers: what a running saver may rely on waits until it is done.",
    .positionals = collect_command::kPositionals,
    .options = collect_command::kCollectOptions,
    .examples =
        "kilter collect runs.kilter --dry-run\n"
        "kilter collect runs.kilter",
    .exit_statuses = collect_command::kExitStatuses,
    .run = collect_command::run_collect,
};

const CommandSpec kCompactCommand = {
    .name = "compact",
    .summary = "Make a store small: deltas between steps, packs without dead space",
    .description =
        "Saving writes fast; this makes small. Every chunk gets its smallest form: against the "
        "same "
        "tensor of the step before, as the rounded copy of a float32 tensor, or by its exponents. "
        "May be interrupted; safe beside readers and savers.",
    .positionals = collect_command::kPositionals,
    .options = collect_command::kCompactOptions,
    .examples =
        "kilter compact runs.kilter\n"
        "kilter compact runs.kilter --max-chain 4      # quicker to restore",
    .exit_statuses = collect_command::kExitStatuses,
    .run = collect_command::run_compact,
};

const CommandSpec kStatsCommand = {
    .name = "stats",
    .summary = "Show what in a store occupies how much",
    .description =
        "Sizes of all commits as files, as unique chunks and as stored, by form and element.",
    .positionals = collect_command::kPositionals,
    .options = {},
    .examples =
        "kilter stats runs.kilter\n"
        "kilter stats runs.kilter --json",
    .exit_statuses =
        "0    done\n2    wrong usage\n3    the store is damaged\n4    no such store\n"
        "5    I/O error\n130  interrupted",
    .run = collect_command::run_stats,
};

}  // namespace kilter::cli
