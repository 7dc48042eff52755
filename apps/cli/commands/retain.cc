// kilter retain, kilter remove: which checkpoints stay.
#include "store/keep/retain.h"

#include <fmt/format.h>

#include <cstdio>

#include "base/text.h"
#include "base/try.h"
#include "cli/command.h"
#include "cli/store_support.h"
#include "store/keep/collect.h"

namespace kilter::cli {

namespace {
namespace retain_command {

constexpr PositionalSpec kRetainPositionals[] = {{"STORE", "A store"}};
constexpr OptionSpec kRetainOptions[] = {
    {"--last", ValueKind::kCount, "N", "Keep the newest N of each branch"},
    {"--every", ValueKind::kCount, "N", "Keep steps that are multiples of N"},
    {"--best", ValueKind::kText, "N:KEY", "Keep the N lowest of this number; N:-KEY the highest",
     true},
    {"--tagged", ValueKind::kFlag, "", "Keep what has a tag"},
    {"--collect", ValueKind::kFlag, "", "Free the space at once, as `kilter collect` does"},
    {"-n,--dry-run", ValueKind::kFlag, "", "Say what would stay and go, change nothing"},
};
constexpr PositionalSpec kRemovePositionals[] = {{"ADDR", "A commit: STORE@REF", true}};
constexpr OptionSpec kRemoveOptions[] = {
    {"-n,--dry-run", ValueKind::kFlag, "", "Say what would go, change nothing"},
};

std::string commit_line(const store::CommitSummary& commit) {
  const std::string step = step_text(commit);
  return fmt::format("{}  {}{}", short_digest(commit.digest), minute_text(commit.time_unix_ns),
                     step.empty() ? "" : fmt::format("  step {}", step));
}

Json commits_json(const store::History& history, const std::vector<std::size_t>& commits) {
  Json list = Json::array();
  for (const std::size_t commit : commits)
    list.push_back({{"commit", to_hex(history.commits()[commit].digest)},
                    {"metadata", metadata_json(history.commits()[commit])}});
  return list;
}

Result<store::RetainRules> rules_of(const Arguments& arguments) {
  store::RetainRules rules;
  if (arguments.has("last")) rules.last = arguments.count("last", 0);
  if (arguments.has("every")) rules.every = arguments.count("every", 0);
  for (const std::string& text : arguments.all("best")) {
    KILTER_ASSIGN(store::RetainRules::Best best, store::parse_best(text));
    rules.best.push_back(std::move(best));
  }
  rules.tagged = arguments.has("tagged");
  return rules;
}

void print_decision(const Invocation& invocation, const store::History& history,
                    const store::RetainDecision& decision) {
  const Style style(invocation.terminal.colour_out);
  const bool dry_run = invocation.arguments.has("dry-run");
  for (std::size_t i = 0; i < decision.kept.size(); ++i)
    std::printf("%s  %s  %s\n", style.good("keep").c_str(),
                commit_line(history.commits()[decision.kept[i]]).c_str(),
                style.dim(decision.reasons[i]).c_str());
  for (const std::size_t commit : decision.retired)
    std::printf("%s  %s\n", style.bad(dry_run ? "would go" : "gone").c_str(),
                commit_line(history.commits()[commit]).c_str());
  if (!dry_run && !decision.retired.empty() && !invocation.arguments.has("collect"))
    std::printf("their records stay in the log; `kilter collect` frees the space\n");
}

Status retain(const Invocation& invocation) {
  const Arguments& arguments = invocation.arguments;
  KILTER_ASSIGN(const OpenedStore opened, open_with_history(arguments.positionals[0]));
  KILTER_ASSIGN(const store::RetainRules rules, rules_of(arguments));
  KILTER_ASSIGN(const auto decision, store::decide_retention(opened.history, rules));
  const bool dry_run = arguments.has("dry-run");
  if (!dry_run) {
    std::vector<store::Digest> retired;
    for (const std::size_t commit : decision.retired)
      retired.push_back(opened.history.commits()[commit].digest);
    KILTER_TRY(store::retire_commits(*opened.store, retired));
  }
  Json out{{"dry_run", dry_run},
           {"kept", commits_json(opened.history, decision.kept)},
           {"retired", commits_json(opened.history, decision.retired)}};
  if (!invocation.terminal.json) print_decision(invocation, opened.history, decision);
  if (arguments.has("collect") && !dry_run) {
    KILTER_ASSIGN(const auto collected, store::collect(*opened.store, {false, invocation.context}));
    out["removed_bytes"] = collected.removed_bytes;
    out["waiting_bytes"] = collected.waiting_bytes;
    out["dead_bytes"] = collected.dead_bytes;
    if (!invocation.terminal.json)
      std::printf("freed %s; %s more with `kilter compact`\n",
                  format_bytes(collected.removed_bytes).c_str(),
                  format_bytes(collected.dead_bytes).c_str());
  }
  if (invocation.terminal.json) print_json(out);
  return ok();
}

Status remove_commit(const Invocation& invocation, const std::string& address, Json& list) {
  KILTER_ASSIGN(const OpenedStore opened, open_with_history(address));
  if (!opened.address.stated)
    return fail(Error(ErrorCode::kInvalidArgument, "which commit?")
                    .at_path(address)
                    .advise("name it: STORE@step:1200; a whole store is removed as any folder is"));
  KILTER_ASSIGN(const std::size_t number, named_commit(opened));
  const store::CommitSummary& commit = opened.history.commits()[number];
  if (auto free = store::check_removable(opened.history, number); !free)
    return fail(std::move(free).error().at_path(address));
  if (!invocation.arguments.has("dry-run"))
    KILTER_TRY(store::retire_commits(*opened.store, {commit.digest}));
  list.push_back({{"commit", to_hex(commit.digest)}, {"metadata", metadata_json(commit)}});
  if (!invocation.terminal.json && !invocation.terminal.quiet)
    std::printf("%s  %s\n", invocation.arguments.has("dry-run") ? "would go" : "gone",
                commit_line(commit).c_str());
  return ok();
}

int run_retain(const Invocation& invocation) {
  const Status done = retain(invocation);
  return done ? 0 : report_error(done.error(), invocation.terminal);
}

int run_remove(const Invocation& invocation) {
  Json list = Json::array();
  for (const std::string& address : invocation.arguments.positionals) {
    const Status done = remove_commit(invocation, address, list);
    if (!done) return report_error(done.error(), invocation.terminal);
  }
  if (invocation.terminal.json)
    print_json({{"dry_run", invocation.arguments.has("dry-run")}, {"removed", list}});
  return 0;
}

}  // namespace retain_command
}  // namespace

const CommandSpec kRetainCommand = {
    .name = "retain",
    .summary = "Keep what rules name, give up the data of the rest",
    .description =
        "A commit stays if any rule keeps it; tips of branches always stay. The others keep their "
        "record (log, loss curve, lineage) but not their data, whose space `kilter collect` frees. "
        "Where a tag names one of those, nothing is done: say --tagged, or remove the tag.",
    .positionals = retain_command::kRetainPositionals,
    .options = retain_command::kRetainOptions,
    .examples =
        "kilter retain runs.kilter --last 3 --every 1000 --best 2:loss --tagged --dry-run\n"
        "kilter retain runs.kilter --last 3 --best 1:-eval_accuracy --collect",
    .exit_statuses =
        "0    done\n2    wrong usage, or a tag names what would go\n"
        "3    the store is malformed or damaged\n"
        "4    no such store, or no checkpoint states the number of --best\n5    I/O error",
    .run = retain_command::run_retain,
};

const CommandSpec kRemoveCommand = {
    .name = "remove",
    .summary = "Give up the data of single commits",
    .description =
        "The commit's record stays in the history; its data goes at the next `kilter "
        "collect`. A commit that a branch or tag points to is refused.",
    .positionals = retain_command::kRemovePositionals,
    .options = retain_command::kRemoveOptions,
    .examples =
        "kilter remove runs.kilter@step:1200\n"
        "kilter remove runs.kilter@main~2 --dry-run",
    .exit_statuses =
        "0    done\n2    wrong usage, or a reference points to it\n"
        "3    the store is malformed\n4    no such store or commit\n5    I/O error",
    .run = retain_command::run_remove,
};

}  // namespace kilter::cli
