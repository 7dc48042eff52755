// Savers, readers, collectors and compactors on one store at once, in threads;
// tests/store/test_race.py does the same with processes. KILTER_RACE_SECONDS=180 races for so long,
// round after round, instead of one round in memory and one on a disk.
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <thread>

#include "io/io_test_support.h"
#include "store/history/history.h"
#include "store/keep/check.h"
#include "store/keep/collect.h"
#include "store/keep/compact.h"
#include "store/store_test_support.h"

namespace kilter::store::test {
namespace {

constexpr unsigned kSaverCount = 2;
constexpr unsigned kSavesMin = 8;
constexpr unsigned kSavesMax =
    48;  // later rounds are longer, so that index files merge and packs fill
constexpr unsigned kSideEvery = 3;  // of a saver's saves, one goes to a branch that it gives up

using RaceClock = std::chrono::steady_clock;

double race_seconds() {
  const char* text = std::getenv("KILTER_RACE_SECONDS");
  return text == nullptr ? 0 : std::strtod(text, nullptr);
}

/// What the checkpoint of one step of one saver holds: two steps of each share their weights.
std::string race_text(unsigned saver, unsigned step) {
  return safetensors_of(
      {{"a", weights(6000, 1000 * saver + step / 2)}, {"same", weights(3000, 7)}});
}

class RaceRound {
 public:
  RaceRound(io::FileSystem& files, std::string root, unsigned saves)
      : files_(files), root_(std::move(root)), saves_(saves), running_(kSaverCount) {}

  void run() {
    make_store(files_, root_);
    std::vector<std::thread> threads;
    for (unsigned saver = 0; saver < kSaverCount; ++saver)
      threads.emplace_back([this, saver] { keep_saving(saver); });
    threads.emplace_back([this] { keep_order(); });
    threads.emplace_back([this] { keep_reading(); });
    for (std::thread& thread : threads) thread.join();
    expect_all_there();
  }

  std::uint64_t commits() const { return commits_; }
  std::uint64_t collections() const { return collections_; }
  std::uint64_t reads() const { return reads_; }

 private:
  static SortedJson who(unsigned saver, unsigned step) {
    return {{"step", step}, {"saver", saver}};
  }

  void keep_saving(unsigned saver) {
    const auto store = reopen(files_, root_);
    const auto sources = io::make_memory_file_system();
    for (unsigned step = 0; step < saves_; ++step) {
      sources->put("m.safetensors", race_text(saver, step));
      if (step % kSideEvery == kSideEvery - 1) save_side(*store, *sources, saver, step);
      // Both go on with main; each also has a branch of its own.
      for (const std::string& branch : {std::string("main"), fmt::format("b{}", saver)})
        EXPECT_TRUE(worked(save(*store, *sources, "m.safetensors", who(saver, step), branch)));
      commits_ += 2;
    }
    --running_;
  }

  /// Gives up what the branch held, and saves there anew: work for the collector.
  void save_side(Store& store, io::FileSystem& sources, unsigned saver, unsigned step) {
    const std::string side = fmt::format("side{}", saver);
    const auto old = read_ref(store.place(), RefKind::kBranch, side);
    EXPECT_TRUE(worked(old));
    if (old && *old) {
      EXPECT_TRUE(worked(move_ref(store.place(), RefKind::kBranch, side, std::nullopt, *old)));
    }
    EXPECT_TRUE(worked(save(store, sources, "m.safetensors", who(saver, step), side)));
  }

  void keep_order() {
    const auto store = reopen(files_, root_);
    while (running_ > 0) {
      EXPECT_TRUE(worked(collect(*store, {})));
      EXPECT_TRUE(worked(compact(*store, {.thread_count = 2, .max_memory_bytes = 64ULL << 20})));
      ++collections_;
    }
  }

  /// One snapshot for long, as a mount has it: what it finds must come out whole.
  void keep_reading() {
    const auto store = reopen(files_, root_);
    while (running_ > 0) {
      EXPECT_TRUE(worked(store->refresh()));
      const auto history = History::load(*store);
      EXPECT_TRUE(worked(history));
      if (!history) return;
      for (const char* branch : {"main", "b0", "b1"})
        if (const auto tip = history->tip(RefKind::kBranch, branch))
          expect_commit(store, history->commits()[*tip]);
    }
  }

  void expect_commit(const std::shared_ptr<Store>& store, const CommitSummary& commit) {
    const auto back = files_of(store, commit.digest);
    ASSERT_TRUE(worked(back));
    const auto saver = static_cast<unsigned>(*commit.number("saver"));
    const auto step = static_cast<unsigned>(*commit.number("step"));
    EXPECT_TRUE(back->at("m.safetensors") == race_text(saver, step));  // too long to print
    ++reads_;
  }

  void expect_branch(const std::shared_ptr<Store>& store, const History& history,
                     const std::string& branch, std::size_t count) {
    const auto commits = history.ancestry(history.tip(RefKind::kBranch, branch));
    EXPECT_EQ(commits.size(), count) << branch;
    for (const std::size_t commit : commits) expect_commit(store, history.commits()[commit]);
  }

  void expect_all_there() {
    const auto store = reopen(files_, root_);
    const auto history = History::load(*store);
    STORE_OK(history);
    expect_branch(store, *history, "main", std::size_t{kSaverCount} * saves_);
    for (unsigned saver = 0; saver < kSaverCount; ++saver)
      expect_branch(store, *history, fmt::format("b{}", saver), saves_);
    const auto checked = check_store(*store, {.data = true});
    STORE_OK(checked);
    for (const StoreFault& fault : checked->faults) ADD_FAILURE() << fault.error.text();
  }

  io::FileSystem& files_;
  const std::string root_;
  const unsigned saves_;
  std::atomic<unsigned> running_;
  std::atomic<std::uint64_t> commits_{0}, collections_{0}, reads_{0};
};

TEST(StoresInUse, SaversReadersCollectorsAndCompactorsLoseNothing) {
  const auto begun = RaceClock::now();
  const auto over = [&, seconds = race_seconds()] {
    return std::chrono::duration<double>(RaceClock::now() - begun).count() >= seconds;
  };
  std::uint64_t commits = 0, collections = 0, reads = 0;
  unsigned round = 0;
  for (; (round < 2 || !over()) && !HasFailure(); ++round) {
    const auto memory = io::make_memory_file_system();
    const io::TempFolder folder;
    const unsigned saves = std::min(kSavesMin + 4 * (round / 2), kSavesMax);
    const bool on_disk = round % 2 == 1;
    RaceRound race(on_disk ? io::real_file_system() : *memory, on_disk ? folder / "s" : "s", saves);
    race.run();
    commits += race.commits();
    collections += race.collections();
    reads += race.reads();
  }
  EXPECT_EQ(HasFailure(), false) << "in round " << round;
  std::printf("%u rounds, %llu commits, none lost; %llu collections and compactions, %llu reads\n",
              round, static_cast<unsigned long long>(commits),
              static_cast<unsigned long long>(collections), static_cast<unsigned long long>(reads));
}

}  // namespace
}  // namespace kilter::store::test
