// Kills `kilter` at its system calls and looks at what is left: kill_at_calls KILTER FOLDER [--all]
//
// Each scenario is one command on a small store. It is run again and again on a fresh copy, and
// killed at the 1st, 2nd, 3rd … system call of all its threads: once before the call begins, once
// when it has returned. Without --all only calls count that change the file system, sync or lock,
// and of all scenarios but the first every fourth. After each kill the store must be sound to the
// last byte and hold the old state or the new one, and the command must succeed when it is run
// again.
//
// Prints what was tried as JSON. Exit status 0; 1 and the store's path for a bad state; 77 where
// processes may not be traced.
#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <set>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/try.h"
#include "store/keep/check.h"
#include "store/torture/rounds.h"
#include "traced_run.h"

namespace {

namespace fs = std::filesystem;
using namespace kilter;         // a program of one file
using namespace kilter::store;  // the same
using tests::KillPoint;
using tests::TracedRun;

constexpr std::uint64_t kTensorBytes = 8192;
constexpr std::uint64_t kNewRound = 100;    // what the scenario saves
constexpr std::uint64_t kLaterRound = 200;  // what is saved after the kill
constexpr std::uint64_t kSideRound = 300;   // on a branch that is given up
constexpr std::uint64_t kCallsMax = 100'000;
constexpr std::uint64_t kQuickStep = 4;  // without --all, for all scenarios but the first

Result<std::shared_ptr<Store>> open_at(const fs::path& path) {
  return Store::open(make_folder_place(io::real_file_system(), path.string()));
}

/// What lies in the folder, by kind and size: names of packs and the like are digests, and differ.
std::string shape_of(const fs::path& store) {
  std::multiset<std::string> parts;
  if (!fs::exists(store)) return "nothing";
  for (const auto& entry : fs::recursive_directory_iterator(store)) {
    const fs::path path = entry.path().lexically_relative(store);
    const std::string kind =
        path.filename().string().starts_with(".stage") ? "stage" : path.extension().string();
    parts.insert(
        fmt::format("{}/{}:{}", path.begin()->string(), kind,
                    entry.is_regular_file() ? fmt::to_string(entry.file_size()) : "folder"));
  }
  return fmt::format("{}", fmt::join(parts, " "));
}

std::set<std::string> packs_of(const fs::path& store) {
  std::set<std::string> packs;
  if (!fs::exists(store / "packs")) return packs;
  for (const auto& entry : fs::recursive_directory_iterator(store / "packs"))
    if (entry.is_regular_file()) packs.insert(entry.path().filename().string());
  return packs;
}

struct Scenario {
  const char* name;
  std::uint64_t quick_step;
  std::uint64_t rounds;  // in the store before; 0: there is no store
  bool garbage;          // a branch that was given up
  bool saves;            // else it keeps order
  const char* verb;
};
constexpr Scenario kScenarios[] = {
    {"save", 1, 1, false, true, "save"},
    {"save that makes the store", kQuickStep, 0, false, true, "save"},
    {"save that merges index files", kQuickStep, 7, false, true, "save"},
    {"collect", kQuickStep, 2, true, false, "collect"},
    {"compact", kQuickStep, 3, true, false, "compact"},
};

struct Tally {
  std::uint64_t call_count = 0;
  std::uint64_t kill_count = 0;
  std::uint64_t old_count = 0;
  std::uint64_t new_count = 0;
  std::set<std::string> shapes;
  std::map<std::string, std::uint64_t> kills_by_call;

  Json json(const Scenario& scenario) const {
    Json by_call = Json::object();
    for (const auto& [name, count] : kills_by_call) by_call[name] = count;
    return {{"scenario", scenario.name},
            {"calls", call_count},
            {"kills", kill_count},
            {"old", old_count},
            {"new", new_count},
            {"distinct_states", shapes.size()},
            {"kills_by_call", std::move(by_call)}};
  }
};

class Killing {
 public:
  Killing(const Scenario& scenario, std::string kilter, fs::path folder, bool all)
      : scenario_(scenario), kilter_(std::move(kilter)), folder_(std::move(folder)), all_(all) {}

  Result<Tally> run() {
    KILTER_TRY(prepare());
    fresh_copy();
    KILTER_ASSIGN(const TracedRun whole, tests::run_traced(command(), {0, false, !all_}));
    if (whole.exit_status != 0)
      return bad(fmt::format("undisturbed it ends with status {}", whole.exit_status));
    KILTER_ASSIGN(const bool done, look());
    if (!done) return bad("undisturbed it changes nothing");
    tally_.call_count = whole.call_count;
    for (std::uint64_t call = 1; call < kCallsMax; call += all_ ? 1 : scenario_.quick_step) {
      KILTER_ASSIGN(const bool before, kill_at({call, false, !all_}));
      KILTER_ASSIGN(const bool behind, kill_at({call, true, !all_}));
      if (!before && !behind) break;
    }
    return std::move(tally_);
  }

 private:
  fs::path path() const { return folder_ / "store.kilter"; }
  fs::path origin() const { return folder_ / "before.kilter"; }
  static tl::unexpected<Error> bad(std::string message) {
    return fail(ErrorCode::kCorrupt, std::move(message));
  }

  std::vector<std::string> save_command(std::uint64_t round) {
    const fs::path source = folder_ / fmt::format("round-{}", round);
    for (const auto& [name, text] : round_files(round, kTensorBytes)) {
      fs::create_directories((source / name).parent_path());
      std::ofstream(source / name, std::ios::binary) << text;
    }
    return {kilter_,         "save", source.string(),
            path().string(), "-m",   fmt::format("round {} of {} bytes", round, kTensorBytes)};
  }
  std::vector<std::string> command() {
    if (scenario_.saves) return save_command(kNewRound);
    return {kilter_, scenario_.verb, path().string()};
  }

  Status prepare() {
    if (scenario_.rounds == 0) return ok();
    KILTER_ASSIGN(const auto store,
                  Store::create(make_folder_place(io::real_file_system(), origin().string())));
    for (std::uint64_t round = 1; round <= scenario_.rounds; ++round)
      KILTER_TRY(save_round(*store, round, kTensorBytes));
    if (!scenario_.garbage) return ok();
    // Saved last, so that its pack holds nothing that the others need.
    KILTER_ASSIGN(const SaveOutcome side, save_round(*store, kSideRound, kTensorBytes, "side"));
    KILTER_TRY(move_ref(store->place(), RefKind::kBranch, "side", std::nullopt, side.commit));
    return ok();
  }

  void fresh_copy() const {
    fs::remove_all(path());
    if (fs::exists(origin())) fs::copy(origin(), path(), fs::copy_options::recursive);
  }

  /// Whether it was killed: false once the program ends before that call.
  Result<bool> kill_at(const KillPoint& point) {
    fresh_copy();
    KILTER_ASSIGN(const TracedRun run, tests::run_traced(command(), point));
    const std::string where = fmt::format(
        "killed {} call {} ({}): ", point.at_exit ? "behind" : "before", point.call, run.killed_at);
    if (!run.killed && run.exit_status != 0)
      return bad(fmt::format("{}it ends with status {}", where, run.exit_status));
    if (!run.killed) return false;
    ++tally_.kill_count;
    ++tally_.kills_by_call[run.killed_at];
    tally_.shapes.insert(shape_of(path()));
    auto changed = look();
    if (!changed) return bad(where + changed.error().text());
    ++(*changed ? tally_.new_count : tally_.old_count);
    const Status later = go_on();
    if (!later) return bad(where + "going on: " + later.error().text());
    return true;
  }

  /// Whether the store holds the new state. Fails if it holds neither that nor the old one, whole.
  Result<bool> look() {
    auto store = open_at(path());
    if (!store && scenario_.rounds == 0 && store.error().code == ErrorCode::kNotFound) return false;
    if (!store) return fail(std::move(store).error());
    KILTER_ASSIGN(const CheckOutcome checked,
                  check_store(**store, {.data = true, .thread_count = 1}));
    if (!checked.faults.empty()) return fail(checked.faults.front().error);
    KILTER_ASSIGN(const std::uint64_t commit_count, check_rounds(**store));
    KILTER_ASSIGN(const auto tip, read_ref((*store)->place(), RefKind::kBranch, "main"));
    const bool newer = scenario_.saves && commit_count == scenario_.rounds + 1;
    if (commit_count != scenario_.rounds && !newer)
      return bad(fmt::format("{} commits are left", commit_count));
    if (!tip && commit_count == 0) return false;
    KILTER_ASSIGN(const std::uint64_t round, tip_round(**store));
    if (round != (newer ? kNewRound : scenario_.rounds))
      return bad(fmt::format("the tip is round {}", round));
    return scenario_.saves ? newer : packs_of(path()) != packs_of(origin());
  }

  Status must_succeed(const std::vector<std::string>& command) const {
    KILTER_ASSIGN(const TracedRun run, tests::run_traced(command, {}));
    if (run.exit_status == 0) return ok();
    return bad(fmt::format("{} ends with status {}", command[1], run.exit_status));
  }

  /// The command again (for a save: the next one), then a collector, which finds all in order.
  Status go_on() {
    KILTER_TRY(must_succeed(scenario_.saves ? save_command(kLaterRound) : command()));
    KILTER_TRY(must_succeed({kilter_, "collect", path().string()}));
    KILTER_ASSIGN(const auto store, open_at(path()));
    KILTER_ASSIGN(const CheckOutcome checked,
                  check_store(*store, {.data = true, .thread_count = 1}));
    if (!checked.faults.empty()) return fail(checked.faults.front().error);
    KILTER_TRY(check_rounds(*store));
    KILTER_ASSIGN(const std::uint64_t round, tip_round(*store));
    if (round != (scenario_.saves ? kLaterRound : scenario_.rounds))
      return bad("the later save is not the tip");
    return nothing_left_over();
  }

  /// No dead session is listed, and none of what the dead one gave up lies there any more. Its
  /// hidden files stay for a day.
  Status nothing_left_over() const {
    for (const char* folder : {"sessions", "fossils"})
      if (fs::exists(path() / folder) && !fs::is_empty(path() / folder))
        return bad(fmt::format("{} is not empty after a collector", folder));
    return ok();
  }

  const Scenario& scenario_;
  const std::string kilter_;
  const fs::path folder_;
  const bool all_;
  Tally tally_;
};

}  // namespace

int main(int argc, char** argv) {
  const bool all = argc == 4 && std::string_view(argv[3]) == "--all";
  if (argc != 3 && !all) {
    std::fprintf(stderr, "usage: kill_at_calls KILTER FOLDER [--all]\n");
    return 2;
  }
  Json out = Json::array();
  for (const Scenario& scenario : kScenarios) {
    const fs::path folder = fs::path(argv[2]) / fmt::format("{}", out.size());
    fs::create_directories(folder);
    const auto tally = Killing(scenario, argv[1], folder, all).run();
    if (!tally) {
      std::fprintf(stderr, "%s, in %s: %s\n", scenario.name, folder.c_str(),
                   tally.error().text().c_str());
      return tally.error().code == ErrorCode::kUnsupported ? 77 : 1;
    }
    out.push_back(tally->json(scenario));
  }
  std::printf("%s\n", dump_json(out).c_str());
  return 0;
}
