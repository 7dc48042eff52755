// kilter torture DIR: does this disk, with this program, keep what it says it keeps?
#include <fmt/format.h>

#include <cstdio>

#include "base/text.h"
#include "base/try.h"
#include "cli/command.h"
#include "cli/store_support.h"
#include "store/torture/kill.h"
#include "store/torture/power_loss.h"

namespace kilter::cli {

namespace {
namespace torture_command {

constexpr PositionalSpec kPositionals[] = {
    {"DIR", "A folder on the disk to be tried; a folder of its own is made there, and removed"}};
constexpr OptionSpec kOptions[] = {
    {"--rounds", ValueKind::kCount, "N", "Kill writers N times; default 30"},
    {"--seconds", ValueKind::kCount, "S", "Go on killing for S seconds instead"},
    {"--mixtures", ValueKind::kCount, "N",
     "Random mixtures of lost and kept writes tried at each moment; default 12"},
    {"--seed", ValueKind::kCount, "N", "Seed of everything random; default 1"},
};

Json kill_json(const store::KillOutcome& outcome) {
  return {{"rounds", outcome.rounds},
          {"savers_killed", outcome.savers_killed},
          {"collectors_killed", outcome.collectors_killed},
          {"saves_reported", outcome.saves_reported},
          {"commits_checked", outcome.commits_checked},
          {"old_commit", outcome.old_count},
          {"new_commit", outcome.new_count}};
}

Json loss_json(const store::PowerLossOutcome& outcome) {
  return {{"writes", outcome.write_count},
          {"states", outcome.state_count},
          {"old_commit", outcome.old_count},
          {"new_commit", outcome.new_count},
          {"continued", outcome.continued_count}};
}

void print_kills(const store::KillOutcome& outcome) {
  std::printf(
      "killed writers   %u savers and %u collectors killed while they worked, %llu saves reported\n"
      "                 the tip was the last commit reported %u times, the one on its way %u "
      "times\n"
      "                 %llu commits read back, to the last byte\n",
      outcome.savers_killed, outcome.collectors_killed,
      static_cast<unsigned long long>(outcome.saves_reported), outcome.old_count, outcome.new_count,
      static_cast<unsigned long long>(outcome.commits_checked));
}

void print_losses(const store::PowerLossOutcome& outcome) {
  std::printf(
      "losses of power  %llu states of the disk after %llu recorded writes\n"
      "                 %llu held the old commit, %llu the new one, each complete\n"
      "                 from %llu of them collecting and saving went on without fault\n",
      static_cast<unsigned long long>(outcome.state_count),
      static_cast<unsigned long long>(outcome.write_count),
      static_cast<unsigned long long>(outcome.old_count),
      static_cast<unsigned long long>(outcome.new_count),
      static_cast<unsigned long long>(outcome.continued_count));
}

/// Returns the exit status.
Result<int> torture(const Invocation& invocation) {
  const Arguments& arguments = invocation.arguments;
  store::KillRequest kill;
  kill.folder = arguments.positionals[0];
  kill.rounds = arguments.count("rounds", kill.rounds);
  kill.seconds = arguments.count("seconds", 0);
  kill.seed = arguments.count("seed", 1);
  kill.context.cancel = invocation.context.cancel;
  store::PowerLossRequest loss;
  loss.mixtures = arguments.count("mixtures", loss.mixtures);
  loss.seed = kill.seed;
  loss.context.cancel = invocation.context.cancel;

  // Processes are forked first: the other part starts threads.
  KILTER_ASSIGN(const store::KillOutcome killed, store::kill_writers(kill));
  const bool text = !invocation.terminal.json && !invocation.terminal.quiet;
  if (text) print_kills(killed);
  store::PowerLossOutcome lost;
  if (killed.fault.empty()) {
    KILTER_ASSIGN(lost, store::try_power_losses(loss));
    if (text) print_losses(lost);
  }
  const std::string fault = killed.fault.empty() ? lost.fault : killed.fault;
  if (invocation.terminal.json) {
    Json out = {{"killed_writers", kill_json(killed)}, {"losses_of_power", loss_json(lost)}};
    out["fault"] = fault.empty() ? Json() : Json(fault);
    if (!killed.fault.empty()) out["kept"] = killed.folder;
    print_json(out);
  } else if (!fault.empty()) {
    std::printf("BAD STATE  %s\n", escape_text(fault).c_str());
    if (!killed.fault.empty()) std::printf("kept in %s\n", escape_text(killed.folder).c_str());
  }
  return fault.empty() ? 0 : 1;
}

int run(const Invocation& invocation) {
  const auto status = torture(invocation);
  return status ? *status : report_error(status.error(), invocation.terminal);
}

}  // namespace torture_command
}  // namespace

const CommandSpec kTortureCommand = {
    .name = "torture",
    .summary = "Show that a store survives crashes, on your own disk",
    .description =
        "First small stores are made in DIR, and processes that save to them and collect in them "
        "are killed at random moments; after each the store is opened, every commit is compared to "
        "the last byte, and the tip must be the commit that was reported last or the one on its "
        "way.\n"
        "Then every write of a save, of one that merges index files and of a collection is "
        "recorded "
        "in memory, and each prefix of them is tried as what a loss of power leaves: with what was "
        "not synced lost, kept, half written and in random mixtures. What a disk does that lies "
        "about syncing, no program can show.",
    .positionals = torture_command::kPositionals,
    .options = torture_command::kOptions,
    .examples =
        "kilter torture /data\n"
        "kilter torture /mnt/nfs --seconds 600\n"
        "kilter torture . --rounds 200 --seed 7 --json",
    .exit_statuses =
        "0    every state held the old or the new commit, whole\n"
        "1    a state did not: it is described, and the store is kept\n"
        "2    wrong usage\n"
        "4    no such folder\n"
        "5    I/O error or no space\n"
        "130  interrupted",
    .run = torture_command::run,
};

}  // namespace kilter::cli
