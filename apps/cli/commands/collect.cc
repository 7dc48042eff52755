// kilter collect, kilter compact: what a store occupies, made less.
#include "store/keep/collect.h"

#include <cstdio>

#include "base/text.h"
#include "base/try.h"
#include "cli/command.h"
#include "cli/store_support.h"
#include "store/keep/compact.h"

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

int finish(const Status& done, const Invocation& invocation) {
  return done ? 0 : report_error(done.error(), invocation.terminal);
}
int run_collect(const Invocation& invocation) { return finish(collect(invocation), invocation); }
int run_compact(const Invocation& invocation) { return finish(compact(invocation), invocation); }

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

}  // namespace kilter::cli
