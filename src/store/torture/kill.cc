#include "store/torture/kill.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <random>
#include <thread>

#include "base/try.h"
#include "store/keep/collect.h"
#include "store/torture/rounds.h"

namespace kilter::store {
namespace {

/// A store is given up for a new one after so many rounds: each look reads all of it.
constexpr unsigned kRoundsPerStore = 15;
constexpr unsigned kSideEvery = 3;  // of a saver's saves, one goes to a branch that is given up

using KillClock = std::chrono::steady_clock;

Result<std::shared_ptr<Store>> open_real(const std::string& path) {
  return Store::open(make_folder_place(io::real_file_system(), path));
}

/// Gives up the side branch, if there is one, and saves it anew.
Status save_side(Store& store, std::uint64_t round, std::uint64_t bytes) {
  KILTER_ASSIGN(const auto old, read_ref(store.place(), RefKind::kBranch, "side"));
  if (old) KILTER_TRY(move_ref(store.place(), RefKind::kBranch, "side", std::nullopt, old));
  return save_round(store, round, bytes, "side").map([](const SaveOutcome&) {});
}

/// What a child does until it is killed: `say` tells the parent of each commit on main.
Status keep_saving(const std::string& path, std::uint64_t round, std::uint64_t bytes, int say) {
  KILTER_ASSIGN(const auto store, open_real(path));
  for (std::uint64_t i = 0; true; ++i) {
    if (i % kSideEvery == kSideEvery - 1) KILTER_TRY(save_side(*store, round, bytes));
    KILTER_TRY(save_round(*store, round++, bytes));
    if (::write(say, "S", 1) != 1) return ok();
  }
}

Status keep_collecting(const std::string& path) {
  KILTER_ASSIGN(const auto store, open_real(path));
  while (true) KILTER_TRY(collect(*store, {}));
}

/// A child process and what it says; killed when it goes out of scope.
class Victim {
 public:
  template <typename Work>
  static Result<std::unique_ptr<Victim>> start(Work work) {
    std::array<int, 2> ends{};
    if (::pipe(ends.data()) != 0) return fail(ErrorCode::kIo, "no pipe can be made");
    const pid_t pid = ::fork();
    if (pid < 0) return fail(ErrorCode::kIo, "no process can be started");
    if (pid == 0) {
      // Ctrl-C is the parent's affair: it kills us.
      ::signal(SIGINT, SIG_IGN);
      const Status done = work(ends[1]);
      const std::string text = done ? "" : "E" + done.error().text();
      static_cast<void>(!::write(ends[1], text.data(), text.size()));
      ::_exit(done ? 0 : 1);
    }
    ::close(ends[1]);
    return std::unique_ptr<Victim>(new Victim(pid, ends[0]));
  }
  ~Victim() {
    kill();
    ::close(listen_);
  }
  Victim(const Victim&) = delete;
  Victim& operator=(const Victim&) = delete;

  void kill() {
    if (pid_ < 0) return;
    ::kill(pid_, SIGKILL);
    while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
  }
  /// Everything it said; once it is dead.
  std::string heard() const {
    std::string text;
    std::array<char, 4096> buffer{};
    for (ssize_t count = 1; count > 0;) {
      count = ::read(listen_, buffer.data(), buffer.size());
      if (count > 0) text.append(buffer.data(), static_cast<std::size_t>(count));
    }
    return text;
  }

 private:
  Victim(pid_t pid, int listen) : pid_(pid), listen_(listen) {}
  pid_t pid_;
  int listen_;
};

class Killer {
 public:
  explicit Killer(const KillRequest& request) : request_(request), random_(request.seed) {}

  Result<KillOutcome> run() {
    outcome_.folder = io::join_path(request_.folder, "kilter-torture-" + random_hex(8));
    KILTER_TRY(io::real_file_system().make_folder(outcome_.folder));
    const Status done = run_rounds();
    if (outcome_.fault.empty())
      static_cast<void>(io::remove_tree(io::real_file_system(), outcome_.folder));
    if (!done) return fail(done.error());
    return std::move(outcome_);
  }

 private:
  bool over(KillClock::time_point begun) const {
    if (request_.seconds <= 0) return outcome_.rounds >= request_.rounds;
    return std::chrono::duration<double>(KillClock::now() - begun).count() >= request_.seconds;
  }

  Status run_rounds() {
    const auto begun = KillClock::now();
    while (!over(begun) && outcome_.fault.empty()) {
      KILTER_TRY(request_.context.check());
      if (outcome_.rounds % kRoundsPerStore == 0) KILTER_TRY(begin_store());
      KILTER_TRY(run_round());
      ++outcome_.rounds;
    }
    return ok();
  }

  Status begin_store() {
    if (!path_.empty()) KILTER_TRY(io::remove_tree(io::real_file_system(), path_));
    path_ = io::join_path(outcome_.folder, fmt::format("store-{}", outcome_.rounds));
    KILTER_ASSIGN(const auto store,
                  Store::create(make_folder_place(io::real_file_system(), path_)));
    const auto begun = KillClock::now();
    KILTER_TRY(save_round(*store, 0, request_.tensor_bytes));
    save_time_ = KillClock::now() - begun;
    tip_ = 0;
    return ok();
  }

  /// From the first call to some time into the third save.
  void wait_a_moment() {
    const double share = std::uniform_real_distribution<double>(0.0, 3.0)(random_);
    std::this_thread::sleep_for(std::chrono::duration<double>(save_time_) * share);
  }

  Status run_round() {
    const std::uint64_t bytes = request_.tensor_bytes;
    KILTER_ASSIGN(const auto saver,
                  Victim::start([&](int say) { return keep_saving(path_, tip_ + 1, bytes, say); }));
    std::unique_ptr<Victim> collector;
    if (random_() % 2 == 0) {
      KILTER_ASSIGN(collector, Victim::start([&](int) { return keep_collecting(path_); }));
    }
    wait_a_moment();
    if (collector && random_() % 2 == 0) {
      collector->kill();
      wait_a_moment();
    }
    saver->kill();
    ++outcome_.savers_killed;
    if (collector) {
      collector->kill();
      ++outcome_.collectors_killed;
    }
    const Status looked = look(*saver, collector.get());
    if (!looked)
      outcome_.fault = fmt::format("round {}: {}", outcome_.rounds, looked.error().text());
    return ok();
  }

  static Status complaint(const std::string& who, const std::string& heard) {
    const std::size_t at = heard.find('E');
    if (at == std::string::npos) return ok();
    return fail(ErrorCode::kCorrupt,
                fmt::format("the {} failed before it was killed: {}", who, heard.substr(at + 1)));
  }

  Status look(const Victim& saver, const Victim* collector) {
    const std::string said = saver.heard();
    KILTER_TRY(complaint("saver", said));
    if (collector != nullptr) KILTER_TRY(complaint("collector", collector->heard()));
    KILTER_ASSIGN(const auto store, open_real(path_));
    KILTER_ASSIGN(const std::uint64_t count, check_rounds(*store));
    KILTER_ASSIGN(const std::uint64_t tip, tip_round(*store));
    const std::uint64_t reported = tip_ + said.size();
    if (tip != reported && tip != reported + 1)
      return fail(ErrorCode::kCorrupt,
                  fmt::format("the tip is commit {}, but {} was reported last", tip, reported));
    ++(tip == reported ? outcome_.old_count : outcome_.new_count);
    outcome_.saves_reported += said.size();
    outcome_.commits_checked += count;
    tip_ = tip;
    return ok();
  }

  const KillRequest& request_;
  std::mt19937_64 random_;
  KillOutcome outcome_;
  std::string path_;
  KillClock::duration save_time_{};
  std::uint64_t tip_ = 0;
};

}  // namespace

Result<KillOutcome> kill_writers(const KillRequest& request) { return Killer(request).run(); }

}  // namespace kilter::store
