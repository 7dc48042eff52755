#include <csignal>
#include <fstream>

#include "kilter/store.h"

#include "train/train_test_support.h"

namespace kilter {
namespace {

using train::test::run_at;
using train::test::Scratch;
using train::test::TinyRun;

/// Each test runs on a store and on a plain folder.
class Savers : public testing::TestWithParam<bool> {
 protected:
  SaverOptions options() const {
    SaverOptions out;
    out.plain_folder = GetParam();
    return out;
  }
  std::string place() const { return scratch_ / "runs.kilter"; }
  Saver open(const SaverOptions& with) {
    auto saver = Saver::open(place(), with);
    EXPECT_TRUE(saver) << (saver ? "" : saver.error().text());
    return std::move(*saver);
  }
  /// Every file of the step, damaged in the middle.
  void damage_newest() {
    namespace fs = std::filesystem;
    const fs::path below = GetParam() ? fs::path(place()) : fs::path(place()) / "packs";
    fs::path newest;
    for (const auto& entry : fs::recursive_directory_iterator(below)) {
      const auto name = entry.path().filename().string();
      if (!entry.is_regular_file() || entry.file_size() < 1'000'000) continue;
      if (GetParam() && name != "model.safetensors") continue;
      const bool later = newest.empty() || fs::last_write_time(newest) < entry.last_write_time();
      if (later) newest = entry.path();
    }
    ASSERT_FALSE(newest.empty());
    std::fstream file(newest, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(fs::file_size(newest) / 2));
    file.write("damaged!", 8);
  }
  Scratch scratch_;
};
INSTANTIATE_TEST_SUITE_P(All, Savers, testing::Bool(),
                         [](const auto& which) { return which.param ? "PlainFolder" : "Store"; });

TEST_P(Savers, ResumeWhereNothingIsSavedChangesNothing) {
  TinyRun run = run_at(3);
  State state = run.state();
  const auto resumed = open(options()).resume(state);
  ASSERT_TRUE(resumed) << resumed.error().text();
  EXPECT_EQ(resumed->step, 0);
  EXPECT_EQ(run, run_at(3));
}

TEST_P(Savers, PutEverythingBack) {
  {
    TinyRun run = run_at(7);
    State state = run.state();
    Saver saver = open(options());
    const auto ticket = saver.save(7, state, {{"loss", 0.5}});
    ASSERT_TRUE(ticket) << ticket.error().text();
    run.become(8);  // nothing is announced: save() has copied it all
    const auto report = ticket->wait();
    ASSERT_TRUE(report) << report.error().text();
    EXPECT_GT(report->bytes, 24'000'000U);
    EXPECT_FALSE(report->skipped);
  }
  TinyRun run = run_at(1);
  State state = run.state();
  const auto resumed = open(options()).resume(state);
  ASSERT_TRUE(resumed) << resumed.error().text();
  EXPECT_EQ(resumed->step, 7);
  EXPECT_EQ(meta_number(resumed->metadata, "loss"), 0.5);
  EXPECT_EQ(run, run_at(7));
}

TEST_P(Savers, ReadBackATensorThatStandsAtTwoPlaces) {
  std::vector<float> values(10, 2.5F);
  State state;
  ASSERT_TRUE(state.tensor({"callbacks", "best"}, {DType::kF32, {10}, values.data()}));
  StateTree& tree = state.tree();
  const StateId callbacks = tree.find(tree.root(), "callbacks");
  StateNode key;
  key.kind = StateKind::kString;
  key.text = "newest";
  const StateId again = tree.add(std::move(key));
  const StateId tensor = tree.find(callbacks, "best");
  tree[callbacks].items.insert(tree[callbacks].items.end(), {again, tensor});

  Saver saver = open(options());
  ASSERT_TRUE(saver.save(1, state)->wait());
  const auto opened = saver.open_newest();
  ASSERT_TRUE(opened && *opened) << (opened ? "" : opened.error().text());
  EXPECT_TRUE((*opened)->report.damaged.empty());
  const StateTree& read = (*opened)->state;
  const StateId found = read.find(read.root(), "callbacks");
  for (const char* name : {"best", "newest"}) {
    ASSERT_NE(read.find(found, name), kNoState) << name;
    EXPECT_EQ(read[read.find(found, name)].integer, 0) << name;
  }
}

TEST_P(Savers, AnnouncedUpdatesNeverTearAStep) {
  SaverOptions with = options();
  with.announces_updates = true;
  TinyRun run = run_at(0);
  State state = run.state();
  Saver saver = open(with);
  std::vector<SaveTicket> tickets;
  for (int n = 1; n <= 6; ++n) {
    ASSERT_TRUE(saver.before_update());
    run.become(n);
    auto ticket = saver.save(n, state);
    ASSERT_TRUE(ticket) << ticket.error().text();
    tickets.push_back(*ticket);
    // Buffers are not held: they change in the next forward pass.
    std::fill(run.running.begin(), run.running.end(), -1.0);
  }
  ASSERT_TRUE(saver.before_update());
  run.become(99);
  ASSERT_TRUE(saver.wait());
  for (const SaveTicket& ticket : tickets) ASSERT_TRUE(ticket.wait());

  std::string before;
  for (int n = 6; n >= 1; --n) {
    auto opened = saver.open_newest(before);
    ASSERT_TRUE(opened) << opened.error().text();
    ASSERT_TRUE(*opened);
    EXPECT_EQ((*opened)->report.step, n);
    before = (*opened)->report.commit;
    for (const char* name : {"weight", "running", "optimizer.state.weight.exp_avg"}) {
      const auto bytes = (*opened)->checkpoint.read_tensor(name);
      ASSERT_TRUE(bytes) << bytes.error().text();
      const bool wide = std::string_view(name) == "running";
      const std::size_t count = bytes->size() / (wide ? 8 : 4);
      for (std::size_t i = 0; i < count; ++i) {
        const double value = wide ? reinterpret_cast<const double*>(bytes->data())[i]
                                  : reinterpret_cast<const float*>(bytes->data())[i];
        ASSERT_EQ(value, n) << name << " " << i;
      }
    }
  }
}

TEST_P(Savers, ASmallPoolWaitsAndNeverTears) {
  SaverOptions with = options();
  with.announces_updates = true;
  with.staging_bytes_max = 4 << 20;  // the state has 24 MB
  TinyRun run = run_at(1);
  State state = run.state();
  Saver saver = open(with);
  const auto ticket = saver.save(1, state);
  ASSERT_TRUE(ticket);
  ASSERT_TRUE(saver.before_update());
  run.become(2);
  ASSERT_TRUE(ticket->wait());
  EXPECT_FALSE(ticket->wait()->skipped);
  ASSERT_TRUE(saver.resume(state));
  EXPECT_EQ(run, run_at(1));
}

TEST_P(Savers, ASmallPoolMaySkipInstead) {
  SaverOptions with = options();
  with.staging_bytes_max = 4 << 20;
  with.skip_when_full = true;
  TinyRun run = run_at(1);
  State state = run.state();
  Saver saver = open(with);
  const auto ticket = saver.save(1, state);  // nothing is announced: it would have to be copied now
  ASSERT_TRUE(ticket);
  run.become(2);
  const auto report = ticket->wait();
  ASSERT_TRUE(report) << report.error().text();
  if (report->skipped) {
    EXPECT_EQ(saver.resume(state)->step, 0);
  } else {  // the writer was faster
    ASSERT_TRUE(saver.resume(state));
    EXPECT_EQ(run, run_at(1));
  }
}

TEST_P(Savers, FallBackToTheStepBeforeADamagedOneAndSayIt) {
  TinyRun run;
  State state = run.state();
  {
    Saver saver = open(options());
    for (int n : {10, 20}) {
      run.become(n);
      ASSERT_TRUE(saver.save(n, state));
      ASSERT_TRUE(saver.wait());
    }
  }
  damage_newest();
  run.become(1);
  const auto resumed = open(options()).resume(state);
  ASSERT_TRUE(resumed) << resumed.error().text();
  EXPECT_EQ(resumed->step, 10);
  EXPECT_EQ(run, run_at(10));
  ASSERT_EQ(resumed->damaged.size(), 1U);
  EXPECT_EQ(resumed->damaged[0].step, 20);
  EXPECT_EQ(resumed->damaged[0].error.code, ErrorCode::kCorrupt);
}

TEST_P(Savers, NameEverythingThatDoesNotFit) {
  TinyRun run = run_at(5);
  State state = run.state();
  Saver saver = open(options());
  ASSERT_TRUE(saver.save(5, state));
  ASSERT_TRUE(saver.wait());
  run.become(6);
  State other;
  ASSERT_TRUE(other.tensor({"model", "weight"}, {DType::kF32, {300, 10'000}, run.weight.data()}));
  ASSERT_TRUE(other.tensor({"model", "head"}, {DType::kF32, {3}, run.bias.data()}));
  const auto resumed = saver.resume(other);
  ASSERT_FALSE(resumed);
  EXPECT_EQ(resumed.error().code, ErrorCode::kInvalidArgument);
  for (const char* part :
       {"model/weight: is f32 [300, 10000] here and f32 [30000, 100] in the checkpoint",
        "model/head: missing in the checkpoint", "model/bias: unexpected in the checkpoint",
        "optimizer/state/weight/exp_avg: unexpected"})
    EXPECT_THAT(resumed.error().message, testing::HasSubstr(part));
  EXPECT_EQ(run, run_at(6));  // nothing was written
}

TEST_P(Savers, AValueThatDoesNotFitChangesNothingEither) {
  TinyRun run = run_at(5);
  State state = run.state();
  Saver saver = open(options());
  ASSERT_TRUE(saver.save(5, state));
  ASSERT_TRUE(saver.wait());
  run.become(6);
  std::int64_t epoch = 0;
  ASSERT_TRUE(state.bind({"epoch"}, epoch));
  const auto resumed = saver.resume(state);
  ASSERT_FALSE(resumed);
  EXPECT_THAT(resumed.error().message, testing::HasSubstr("epoch: missing"));
  EXPECT_EQ(run, run_at(6));
}

TEST_P(Savers, RetentionKeepsWhatItShould) {
  SaverOptions with = options();
  with.keep.last = 1;
  with.keep.every = 30;
  with.keep.best = {{1, "loss", false}};
  TinyRun run;
  State state = run.state();
  Saver saver = open(with);
  for (int n = 10; n <= 70; n += 10) {
    run.become(n);
    ASSERT_TRUE(saver.save(n, state, {{"loss", n == 20 ? 0.1 : 1.0}}));
  }
  ASSERT_TRUE(saver.wait());
  std::vector<std::int64_t> steps;
  std::string before;
  for (;;) {
    auto opened = saver.open_newest(before);
    ASSERT_TRUE(opened) << opened.error().text();
    if (!*opened) break;
    before = (*opened)->report.commit;
    steps.push_back((*opened)->report.step);
  }
  EXPECT_THAT(steps, testing::ElementsAre(70, 60, 30, 20));
  std::uintmax_t bytes = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(place()))
    if (entry.is_regular_file()) bytes += entry.file_size();
  EXPECT_LT(bytes, 4.5 * 24'000'000);  // what was given up is gone from the disk
}

TEST_P(Savers, AnErrorReachesTheTicketAndTheNextCall) {
  TinyRun run = run_at(1);
  State state = run.state();
  Saver saver = open(options());
  ASSERT_TRUE(saver.save(1, state));
  ASSERT_TRUE(saver.wait());
  std::filesystem::remove_all(place());
  std::ofstream(place()) << "in the way";
  const auto ticket = saver.save(2, state);
  ASSERT_TRUE(ticket);
  EXPECT_FALSE(ticket->wait());
  EXPECT_FALSE(saver.wait());
  EXPECT_TRUE(saver.wait());  // told once
}

TEST_P(Savers, ABusySaverMaySkip) {
  SaverOptions with = options();
  with.skip_when_busy = true;
  TinyRun run = run_at(1);
  State state = run.state();
  Saver saver = open(with);
  std::size_t skipped = 0;
  for (int n = 1; n <= 20; ++n) {
    const auto ticket = saver.save(n, state);
    ASSERT_TRUE(ticket);
    if (ticket->done() && ticket->wait()->skipped) ++skipped;
  }
  EXPECT_GT(skipped, 0U);
  ASSERT_TRUE(saver.wait());
  EXPECT_GT(saver.resume(state)->step, 0);
}

TEST_P(Savers, SigtermIsAFlagAndALastSave) {
  ASSERT_TRUE(Saver::watch_preemption());
  ASSERT_TRUE(Saver::watch_preemption());  // twice is once
  EXPECT_EQ(::raise(SIGTERM), 0);
  EXPECT_TRUE(Saver::preempted());
  TinyRun run = run_at(4);
  State state = run.state();
  Saver saver = open(options());
  const auto report = saver.on_preempt(4, state, 60);
  ASSERT_TRUE(report) << report.error().text();
  EXPECT_EQ(report->step, 4);
  const auto late = saver.on_preempt(5, state, 0);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, ErrorCode::kCancelled);
  ASSERT_TRUE(saver.wait() || true);
  run.become(1);
  EXPECT_EQ(saver.resume(state)->step, 4);
  EXPECT_EQ(run, run_at(4));
}

TEST(SavedSteps, AreOrdinaryCheckpoints) {
  Scratch scratch;
  TinyRun run = run_at(9);
  State state = run.state();
  state.file("config.json", "{\"model_type\": \"tiny\"}");
  {
    auto saver = Saver::open(scratch / "runs.kilter");
    ASSERT_TRUE(saver);
    ASSERT_TRUE(saver->save(9, state));
  }
  auto store = Store::open(scratch / "runs.kilter");
  ASSERT_TRUE(store);
  const auto files = store->files("step:9");
  ASSERT_TRUE(files);
  std::vector<std::string> names;
  for (const StoredFile& file : *files) names.push_back(file.path);
  EXPECT_THAT(names, testing::ElementsAre("config.json", "model.safetensors",
                                          "optimizer.safetensors", "optimizer.state.json",
                                          "training.safetensors", "training.state.json"));
  const auto restored = store->restore("step:9", {.target = scratch / "out"});
  ASSERT_TRUE(restored);
  const auto model = open_checkpoint(scratch / "out/model.safetensors");
  ASSERT_TRUE(model) << model.error().text();
  EXPECT_EQ(model->tensors().size(), 3U);
  // Saved again from its files, it is the same commit's tree: cut at the same places.
  ASSERT_TRUE(store->save({.source = scratch / "out", .branch = "again", .parent = "main"}));
  EXPECT_TRUE(store->diff("step:9", "again")->same);
  EXPECT_EQ(store->find("main")->tree, store->find("again")->tree);
}

}  // namespace
}  // namespace kilter
