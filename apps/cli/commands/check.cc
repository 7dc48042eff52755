// kilter check, kilter repair: is a store whole, and making it so.
#include "store/keep/check.h"

#include <fmt/format.h>

#include <cstdio>

#include "base/text.h"
#include "base/try.h"
#include "cli/command.h"
#include "cli/store_support.h"
#include "store/keep/repair.h"

namespace kilter::cli {

namespace {
namespace check_command {

constexpr std::size_t kAffectedShown = 8;
constexpr std::size_t kFaultsShown = 20;

constexpr PositionalSpec kPositionals[] = {{"STORE", "A store"}};
constexpr OptionSpec kCheckOptions[] = {
    {"--data", ValueKind::kFlag, "", "Read and decode every chunk as well"},
    {"--max-memory", ValueKind::kBytes, "SIZE", "Memory for buffers; default 512MiB"},
};
constexpr OptionSpec kRepairOptions[] = {
    {"--from", ValueKind::kText, "STORE", "Another copy: what is damaged here is fetched there"},
    {"--max-memory", ValueKind::kBytes, "SIZE", "Memory for buffers; default 512MiB"},
    {"-n,--dry-run", ValueKind::kFlag, "", "Say what would be done, change nothing"},
};

Json affected_json(const store::StoreFault& fault) {
  Json list = Json::array();
  for (const store::Affected& affected : fault.affected)
    list.push_back({{"commit", to_hex(affected.commit)},
                    {"step", affected.step},
                    {"file", affected.file},
                    {"tensor", affected.tensor}});
  return list;
}

Json outcome_json(const store::CheckOutcome& outcome) {
  Json faults = Json::array();
  for (const store::StoreFault& fault : outcome.faults) {
    Json entry = error_to_json(fault.error)["error"];
    entry["affected"] = affected_json(fault);
    faults.push_back(std::move(entry));
  }
  return {{"sound", outcome.faults.empty()},  {"commits", outcome.commit_count},
          {"packs", outcome.pack_count},      {"chunks", outcome.chunk_count},
          {"read_bytes", outcome.read_bytes}, {"faults", faults}};
}

void print_faults(const store::CheckOutcome& outcome, const Style& style) {
  std::size_t shown = 0;
  for (const store::StoreFault& fault : outcome.faults) {
    if (++shown > kFaultsShown) break;
    Error error = fault.error;
    error.hint.clear();  // readers advise what was just done
    std::printf("%s %s\n", style.bad("damaged").c_str(), error.text().c_str());
    for (std::size_t i = 0; i < fault.affected.size() && i < kAffectedShown; ++i) {
      const store::Affected& affected = fault.affected[i];
      std::printf("  hits commit %s%s  %s  %s\n", short_digest(affected.commit).c_str(),
                  affected.step.empty() ? "" : fmt::format(" (step {})", affected.step).c_str(),
                  affected.file.empty() ? "all of it: the list of its files is lost"
                                        : escape_text(affected.file, 120).c_str(),
                  style.name(escape_text(affected.tensor, 120)).c_str());
    }
    if (fault.affected.size() > kAffectedShown)
      std::printf("  and %zu more (--json lists them all)\n",
                  fault.affected.size() - kAffectedShown);
  }
}

void print_rest(const store::CheckOutcome& outcome) {
  if (outcome.faults.size() > kFaultsShown)
    std::printf("and %zu more faults (--json lists them all)\n",
                outcome.faults.size() - kFaultsShown);
}

void print_summary(const store::CheckOutcome& outcome, const std::string& address,
                   const Style& style) {
  print_rest(outcome);
  std::printf("%s: %s  %s commits, %s packs, %s chunks", escape_text(address).c_str(),
              outcome.faults.empty() ? style.good("sound").c_str() : style.bad("damaged").c_str(),
              format_count(outcome.commit_count).c_str(), format_count(outcome.pack_count).c_str(),
              format_count(outcome.chunk_count).c_str());
  if (outcome.read_bytes > 0) std::printf(", %s read", format_bytes(outcome.read_bytes).c_str());
  std::printf("\n");
}

int run_check(const Invocation& invocation) {
  const auto address = require_store(invocation.arguments.positionals[0]);
  if (!address) return report_error(address.error(), invocation.terminal);
  const auto opened = store::open_store(address->store);
  if (!opened) return report_error(opened.error(), invocation.terminal);
  store::CheckRequest request;
  request.data = invocation.arguments.has("data");
  request.max_memory_bytes = invocation.arguments.bytes("max-memory", request.max_memory_bytes);
  request.context = invocation.context;
  const auto outcome = store::check_store(**opened, request);
  if (!outcome) return report_error(outcome.error(), invocation.terminal);
  if (invocation.terminal.json) {
    print_json(outcome_json(*outcome));
  } else {
    const Style style(invocation.terminal.colour_out);
    print_faults(*outcome, style);
    print_summary(*outcome, address->store, style);
  }
  return outcome->faults.empty() ? 0 : 1;
}

Status repair(const Invocation& invocation, store::RepairOutcome& outcome) {
  const std::string& name = invocation.arguments.positionals[0];
  const bool dry_run = invocation.arguments.has("dry-run");
  KILTER_ASSIGN(auto place, store::open_place(name));
  KILTER_ASSIGN(const auto opened, store::open_for_repair(std::move(place), dry_run, outcome));
  std::shared_ptr<store::Store> copy;
  if (invocation.arguments.has("from")) {
    KILTER_ASSIGN(copy, store::open_store(invocation.arguments.text("from")));
  }
  store::RepairRequest request;
  request.copy = copy.get();
  request.dry_run = dry_run;
  request.max_memory_bytes = invocation.arguments.bytes("max-memory", request.max_memory_bytes);
  request.context = invocation.context;
  return store::repair(*opened, request, outcome);
}

int run_repair(const Invocation& invocation) {
  store::RepairOutcome outcome;
  const Status done = repair(invocation, outcome);
  if (!done) return report_error(done.error(), invocation.terminal);
  const bool sound = outcome.after.faults.empty();
  if (invocation.terminal.json) {
    Json out = outcome_json(outcome.after);
    out["dry_run"] = invocation.arguments.has("dry-run");
    out["set_aside"] = outcome.set_aside;
    out["indexed_packs"] = outcome.indexed_packs;
    out["saved_chunks"] = outcome.saved_count;
    out["fetched_chunks"] = outcome.fetched_count;
    print_json(out);
    return sound ? 0 : 1;
  }
  const Style style(invocation.terminal.colour_out);
  const char* verb = invocation.arguments.has("dry-run") ? "would set aside" : "set aside";
  for (const std::string& name : outcome.set_aside) std::printf("%s %s\n", verb, name.c_str());
  if (outcome.indexed_packs > 0)
    std::printf("%s packs that no index named\n", format_count(outcome.indexed_packs).c_str());
  if (outcome.saved_count + outcome.fetched_count > 0)
    std::printf("%s chunks saved from damaged packs, %s fetched from the copy\n",
                format_count(outcome.saved_count).c_str(),
                format_count(outcome.fetched_count).c_str());
  print_faults(outcome.after, style);
  print_summary(outcome.after, invocation.arguments.positionals[0], style);
  return sound ? 0 : 1;
}

}  // namespace check_command
}  // namespace

const CommandSpec kCheckCommand = {
    .name = "check",
    .summary = "Check a store: nothing missing, nothing damaged",
    .description =
        "Compares references, commits, trees, index and packs with each other; with --data every "
        "chunk is read, decoded and compared with its name. Each fault names the tensors of the "
        "commits it hits.",
    .positionals = check_command::kPositionals,
    .options = check_command::kCheckOptions,
    .examples =
        "kilter check runs.kilter\n"
        "kilter check runs.kilter --data --json",
    .exit_statuses =
        "0    sound\n1    damaged; what is hit is printed\n2    wrong usage\n"
        "3    no store that can be read\n4    not found\n5    I/O error\n130  interrupted",
    .run = check_command::run_check,
};

const CommandSpec kRepairCommand = {
    .name = "repair",
    .summary = "Make a damaged store whole, from another copy where one is given",
    .description =
        "Makes the index anew from the packs where it is damaged, takes sound chunks out of "
        "damaged "
        "packs, fetches the others from a copy, and sets damaged packs aside (folder aside/). It "
        "deletes nothing, and lists exactly which tensors of which commits are lost.",
    .positionals = check_command::kPositionals,
    .options = check_command::kRepairOptions,
    .examples =
        "kilter repair runs.kilter --dry-run\n"
        "kilter repair runs.kilter --from /backup/runs.kilter",
    .exit_statuses =
        "0    whole again\n1    something stays lost; it is listed\n2    wrong usage\n"
        "3    no store that can be read\n4    not found\n5    I/O error or no space\n"
        "130  interrupted",
    .run = check_command::run_repair,
};

}  // namespace kilter::cli
