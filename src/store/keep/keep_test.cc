// What keeps a store in order: collecting, compacting, retention, checking, repairing, copying.
#include "store/keep/collect.h"
#include "store/keep/compact.h"
#include "store/keep/repair.h"
#include "store/keep/retain.h"
#include "store/keep/stats.h"
#include "store/keep/transfer.h"
#include "store/store_test_support.h"

namespace kilter::store::test {
namespace {

/// A store with a series of steps that move a little each.
class KeepingAStore : public testing::Test {
 protected:
  void SetUp() override {
    store_ = make_store(*files_);
    auto values = weights(30'000, 1);
    for (unsigned step = 0; step < 6; ++step) {
      values = moved(values, 100 + step);
      texts_.push_back(safetensors_of({{"layer.weight", values}, {"same", weights(9000, 7)}}));
      files_->put("ckpt/model.safetensors", texts_.back());
      const auto saved =
          save(*store_, *files_, "ckpt", {{"step", step * 100}, {"loss", 3.0 - step}});
      ASSERT_TRUE(worked(saved));
      commits_.push_back(saved->commit);
    }
  }

  void expect_all_there(const std::shared_ptr<Store>& store) {
    for (std::size_t i = 0; i < commits_.size(); ++i) {
      const auto back = files_of(store, commits_[i]);
      ASSERT_TRUE(worked(back)) << "step " << i;
      EXPECT_EQ(back->at("model.safetensors"), texts_[i]);
    }
  }

  std::unique_ptr<io::MemoryFileSystem> files_ = io::make_memory_file_system();
  std::shared_ptr<Store> store_;
  std::vector<std::string> texts_;
  std::vector<Digest> commits_;
};

TEST_F(KeepingAStore, CompactingMakesSmallAndChangesNothing) {
  const auto before = store_stats(*store_, {});
  STORE_OK(before);
  const auto outcome = compact(*store_, {.max_memory_bytes = 64ULL << 20});
  STORE_OK(outcome);
  EXPECT_LT(outcome->after_bytes, outcome->before_bytes);
  const auto store = reopen(*files_);
  expect_all_there(store);
  const auto after = store_stats(*store, {});
  STORE_OK(after);
  EXPECT_LT(after->stored_bytes, before->stored_bytes * 9 / 10);
  EXPECT_EQ(after->unique_bytes, before->unique_bytes);
  EXPECT_GT(after->chunks_by_depth.rbegin()->first, 1U);
  // Nothing is left to do.
  const auto again = compact(*store, {.max_memory_bytes = 64ULL << 20});
  STORE_OK(again);
  EXPECT_EQ(again->encoded_count, 0U);
}

TEST_F(KeepingAStore, CompactingDrySaysWhatItWouldGain) {
  const auto before = all_names(*files_, "s/packs");
  const auto dry = compact(*store_, {.dry_run = true, .max_memory_bytes = 64ULL << 20});
  STORE_OK(dry);
  EXPECT_EQ(all_names(*files_, "s/packs"), before);
  const auto done = compact(*store_, {.max_memory_bytes = 64ULL << 20});
  STORE_OK(done);
  EXPECT_LT(dry->after_bytes, dry->before_bytes);
  EXPECT_NEAR(static_cast<double>(dry->after_bytes), static_cast<double>(done->after_bytes),
              30'000);
}

TEST_F(KeepingAStore, ChainsEndWhereTheyAreToldTo) {
  STORE_OK(compact(*store_, {.chain_max = 2, .max_memory_bytes = 64ULL << 20}));
  const auto stats = store_stats(*reopen(*files_), {});
  STORE_OK(stats);
  EXPECT_EQ(stats->chunks_by_depth.rbegin()->first, 2U);
  expect_all_there(reopen(*files_));
  EXPECT_EQ(compact(*store_, {.chain_max = 17}).error().code, ErrorCode::kInvalidArgument);
}

TEST_F(KeepingAStore, RetentionKeepsRecordsAndCollectFreesTheRest) {
  auto history = History::load(*store_);
  STORE_OK(history);
  const auto decision =
      decide_retention(*history, {.last = 1, .every = 300, .best = {{1, "loss", true}}});
  STORE_OK(decision);
  EXPECT_EQ(decision->kept.size(), 3U);  // 0 (every, highest loss), 300, 500
  EXPECT_EQ(decision->retired.size(), 3U);
  std::vector<Digest> gone;
  for (const std::size_t i : decision->retired) gone.push_back(history->commits()[i].digest);
  STORE_OK(retire_commits(*store_, gone));
  STORE_OK(compact(*store_, {.max_memory_bytes = 64ULL << 20}));
  STORE_OK(collect(*store_, {}));
  const auto store = reopen(*files_);
  history = History::load(*store);
  STORE_OK(history);
  EXPECT_EQ(history->commits().size(), 6U);
  EXPECT_FALSE(files_of(store, commits_[1]));
  EXPECT_EQ(files_of(store, commits_[3])->at("model.safetensors"), texts_[3]);
  EXPECT_EQ(history->resolve("step:100").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(*history->resolve("main~1"), *history->find(commits_[3]));
  const auto checked = check_store(*store, {.data = true});
  STORE_OK(checked);
  EXPECT_TRUE(checked->faults.empty());
}

TEST_F(KeepingAStore, WhatIsKeptLeansOnNothingThatWasGivenUp) {
  STORE_OK(compact(*store_, {.max_memory_bytes = 64ULL << 20}));
  const auto before = store_stats(*store_, {});
  STORE_OK(before);
  EXPECT_GE(before->chunks_by_depth.rbegin()->first, 5U);
  STORE_OK(retire_commits(*store_, {commits_[1], commits_[2], commits_[3]}));
  STORE_OK(compact(*store_, {.max_memory_bytes = 64ULL << 20}));
  const auto store = reopen(*files_);
  const auto after = store_stats(*store, {});
  STORE_OK(after);
  EXPECT_LT(after->unique_bytes, before->unique_bytes - 3 * 100'000);
  EXPECT_LE(after->chunks_by_depth.rbegin()->first, 5U);
  for (const std::size_t i : {0U, 4U, 5U})
    EXPECT_EQ(files_of(store, commits_[i])->at("model.safetensors"), texts_[i]);
  const auto checked = check_store(*store, {.data = true});
  STORE_OK(checked);
  EXPECT_TRUE(checked->faults.empty());
  const auto again = compact(*store, {.max_memory_bytes = 64ULL << 20});
  STORE_OK(again);
  EXPECT_EQ(again->encoded_count, 0U);
}

TEST_F(KeepingAStore, RetentionStopsAtATagThatNoRuleKeepsAndAtANumberThatNobodyStates) {
  ASSERT_TRUE(worked(move_ref(store_->place(), RefKind::kTag, "v1", commits_[1], {})));
  const auto history = History::load(*store_);
  STORE_OK(history);
  RetainRules rules;
  rules.last = 1;
  EXPECT_EQ(decide_retention(*history, rules).error().code, ErrorCode::kInvalidArgument);
  rules.tagged = true;
  rules.best = {{1, "los", false}};
  EXPECT_EQ(decide_retention(*history, rules).error().code, ErrorCode::kNotFound);
  rules.best.clear();
  const auto decision = decide_retention(*history, rules);
  STORE_OK(decision);
  EXPECT_EQ(decision->kept.size(), 2U);
}

TEST_F(KeepingAStore, RetentionNamesEachReasonOnce) {
  ASSERT_TRUE(worked(move_ref(store_->place(), RefKind::kBranch, "other", commits_[4], {})));
  const auto history = History::load(*store_);
  STORE_OK(history);
  const auto decision = decide_retention(*history, {.last = 2, .every = {}, .best = {}});
  STORE_OK(decision);
  EXPECT_THAT(decision->reasons,
              testing::ElementsAre("tip of main, last", "tip of other, last", "last"));
}

TEST_F(KeepingAStore, ARetiredTipIsRefused) {
  EXPECT_EQ(retire_commits(*store_, {commits_.back()}).error().code, ErrorCode::kInvalidArgument);
  const auto history = History::load(*store_);
  STORE_OK(history);
  EXPECT_EQ(decide_retention(*history, {}).error().code, ErrorCode::kInvalidArgument);
}

TEST_F(KeepingAStore, CollectWaitsForWritersThatMayHaveLooked) {
  ASSERT_TRUE(*move_ref(store_->place(), RefKind::kBranch, "main", commits_[0], commits_[5]));
  auto session = store_->place().begin_session();
  STORE_OK(session);
  auto outcome = collect(*store_, {});
  STORE_OK(outcome);
  EXPECT_EQ(outcome->removed_packs, 0U);
  EXPECT_EQ(outcome->waiting_packs, 5U);
  EXPECT_EQ(outcome->writers.size(), 1U);
  // The writer turns out to need one of them after all.
  ASSERT_TRUE(*move_ref(store_->place(), RefKind::kBranch, "other", commits_[2], std::nullopt));
  session->reset();
  outcome = collect(*store_, {});
  STORE_OK(outcome);
  EXPECT_EQ(outcome->removed_packs, 3U);
  const auto store = reopen(*files_);
  EXPECT_EQ(files_of(store, commits_[2])->at("model.safetensors"), texts_[2]);
  EXPECT_EQ(files_of(store, commits_[1])->at("model.safetensors"), texts_[1]);
  EXPECT_FALSE(files_of(store, commits_[5]));
}

TEST_F(KeepingAStore, ASaverDoesNotRelyOnWhatIsCondemned) {
  ASSERT_TRUE(*move_ref(store_->place(), RefKind::kBranch, "main", commits_[0], commits_[5]));
  auto session = store_->place().begin_session();
  STORE_OK(collect(*store_, {}));
  // The same bytes as the condemned step 5, saved anew by someone who came later.
  files_->put("ckpt/model.safetensors", texts_[5]);
  const auto saved = save(*reopen(*files_), *files_, "ckpt");
  STORE_OK(saved);
  EXPECT_GT(saved->totals.new_plain_bytes, 100'000U);
  session->reset();
  STORE_OK(collect(*store_, {}));
  EXPECT_EQ(files_of(reopen(*files_), saved->commit)->at("model.safetensors"), texts_[5]);
}

TEST_F(KeepingAStore, CollectingDryRemovesNothing) {
  ASSERT_TRUE(*move_ref(store_->place(), RefKind::kBranch, "main", commits_[0], commits_[5]));
  const auto before = all_names(*files_, "s/packs");
  const auto outcome = collect(*store_, {.dry_run = true});
  STORE_OK(outcome);
  EXPECT_EQ(outcome->removed_packs, 5U);
  EXPECT_EQ(all_names(*files_, "s/packs"), before);
}

TEST_F(KeepingAStore, CopiesOnlyWhatIsMissing) {
  const auto target = make_store(*files_, "t");
  const auto history = History::load(*store_);
  STORE_OK(history);
  auto copied = transfer(*store_, *target, {.refs = history->refs()});
  STORE_OK(copied);
  EXPECT_EQ(copied->commit_count, 6U);
  expect_all_there(reopen(*files_, "t"));
  copied = transfer(*store_, *target, {.refs = history->refs()});
  STORE_OK(copied);
  EXPECT_EQ(copied->chunk_count, 0U);
  // A branch that went its own way is not overwritten.
  files_->put("ckpt/model.safetensors", safetensors_of({{"x", weights(3000, 77)}}));
  STORE_OK(save(*target, *files_, "ckpt"));
  const auto refused = transfer(*store_, *target, {.refs = history->refs()});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kAlreadyExists);
}

TEST_F(KeepingAStore, CopiesDeltasWithWhatTheyLeanOn) {
  STORE_OK(compact(*store_, {.max_memory_bytes = 64ULL << 20}));
  const auto target = make_store(*files_, "t");
  STORE_OK(transfer(*store_, *target, {.refs = {{RefKind::kTag, "v1", commits_[4]}}}));
  const auto store = reopen(*files_, "t");
  EXPECT_EQ(files_of(store, commits_[4])->at("model.safetensors"), texts_[4]);
  const auto checked = check_store(*store, {.data = true});
  STORE_OK(checked);
  EXPECT_TRUE(checked->faults.empty());
}

// The target has the middle of the series, deeper than the source has it.
TEST_F(KeepingAStore, CopiesOntoAStoreThatIsCompactedOtherwise) {
  const auto target = make_store(*files_, "t");
  STORE_OK(transfer(*store_, *target, {.refs = {{RefKind::kBranch, "main", commits_[2]}}}));
  STORE_OK(compact(*target, {.max_memory_bytes = 64ULL << 20}));
  STORE_OK(compact(*store_, {.chain_max = 1, .max_memory_bytes = 64ULL << 20}));
  const auto source = reopen(*files_);
  const auto history = History::load(*source);
  STORE_OK(history);
  STORE_OK(transfer(*source, *target, {.refs = history->refs()}));
  expect_all_there(reopen(*files_, "t"));
  STORE_OK(compact(*target, {.max_memory_bytes = 64ULL << 20}));
  expect_all_there(reopen(*files_, "t"));
}

TEST_F(KeepingAStore, RepairsItselfFromACopy) {
  const auto copy = make_store(*files_, "t");
  const auto history = History::load(*store_);
  STORE_OK(history);
  STORE_OK(transfer(*store_, *copy, {.refs = history->refs()}));
  std::string pack = *io::read_text(*files_, all_names(*files_, "s/packs")[0], 1 << 24);
  pack[pack.size() / 2] ^= 1;
  files_->put(all_names(*files_, "s/packs")[0], pack);
  files_->put(all_names(*files_, "s/index")[0], "rubbish");
  RepairOutcome outcome;
  const auto store = open_for_repair(make_folder_place(*files_, "s"), false, outcome);
  STORE_OK(store);
  STORE_OK(repair(**store, {.copy = copy.get()}, outcome));
  EXPECT_EQ(outcome.set_aside.size(), 2U);
  EXPECT_EQ(outcome.fetched_count, 1U);
  EXPECT_GE(outcome.saved_count, 1U);
  EXPECT_TRUE(outcome.after.faults.empty());
  EXPECT_EQ(all_names(*files_, "s/aside").size(), 2U);
  expect_all_there(reopen(*files_));
}

TEST_F(KeepingAStore, NamesWhatIsLostWithoutACopy) {
  const std::string name = all_names(*files_, "s/packs")[0];
  std::string pack = *io::read_text(*files_, name, 1 << 24);
  pack[pack.size() / 2] ^= 1;
  files_->put(name, pack);
  RepairOutcome outcome;
  const auto store = open_for_repair(make_folder_place(*files_, "s"), false, outcome);
  STORE_OK(store);
  STORE_OK(repair(**store, {}, outcome));
  ASSERT_EQ(outcome.after.faults.size(), 1U);
  ASSERT_FALSE(outcome.after.faults[0].affected.empty());
  EXPECT_EQ(outcome.after.faults[0].affected[0].file, "model.safetensors");
  EXPECT_FALSE(outcome.after.faults[0].affected[0].tensor.empty());
}

/// A chunk others lean on, stored a second time, raw, in a pack of its own.
Status store_base_again(Store& store) {
  const auto index = store.index();
  Digest base{};
  for (const auto& file : index->files())
    for (std::size_t i = 0; i < file->chunk_count(); ++i)
      if (const auto place = file->chunk(i); place && place->record.depth == 1)
        base = place->record.base;
  const auto plain = store.read_chunk(base);
  const auto places = index->find_all(base);
  if (!plain || !places || places->empty()) return fail(ErrorCode::kInternal, "nothing leans");
  ChunkRecord record = places->front().record;
  record.form = Form::kRaw;
  record.bytes = static_cast<std::uint32_t>((*plain)->size());
  ChunkWriter writer(store, {});
  auto added = writer.add_made([&]() -> Result<MadeChunk> { return MadeChunk{record, **plain}; },
                               (*plain)->size());
  auto content = writer.finish();
  if (!added || !content) return fail(ErrorCode::kInternal, "not written");
  return put_index(store.place(), *content).map([](const Digest&) {});
}

std::string flip_payload(io::MemoryFileSystem& files, const ChunkPlace& place) {
  const std::string name = "s/" + pack_name(place.pack);
  const std::string sound = *io::read_text(files, name, 1 << 24);
  std::string bad = sound;
  bad[place.record.offset_bytes + place.record.stored_bytes / 2] ^= 1;
  files.put(name, bad);
  return sound;
}

TEST_F(KeepingAStore, ReadsABaseFromAnotherPackWhereOneIsDamaged) {
  STORE_OK(compact(*store_, {.max_memory_bytes = 64ULL << 20}));
  STORE_OK(store_base_again(*store_));
  const auto index = reopen(*files_)->index();
  std::vector<ChunkPlace> places;
  for (const auto& file : index->files())
    for (std::size_t i = 0; i < file->chunk_count(); ++i)
      if (auto all = *index->find_all(file->chunk(i)->record.digest); all.size() == 2)
        places = std::move(all);
  ASSERT_EQ(places.size(), 2U);
  for (const ChunkPlace& damaged : places) {
    const std::string sound = flip_payload(*files_, damaged);
    expect_all_there(reopen(*files_));
    // What is damaged is told, and nothing is lost by it.
    const auto checked = check_store(*reopen(*files_), {.data = true});
    STORE_OK(checked);
    ASSERT_EQ(checked->faults.size(), 1U);
    EXPECT_EQ(checked->faults[0].error.path, pack_name(damaged.pack));
    EXPECT_EQ(checked->faults[0].error.offset_bytes, damaged.record.offset_bytes);
    EXPECT_TRUE(checked->faults[0].affected.empty());
    files_->put("s/" + pack_name(damaged.pack), sound);
  }
  for (const ChunkPlace& damaged : places) flip_payload(*files_, damaged);
  const auto back = files_of(reopen(*files_), commits_.back());
  ASSERT_FALSE(back);
  EXPECT_EQ(back.error().code, ErrorCode::kCorrupt);
  const auto checked = check_store(*reopen(*files_), {.data = true});
  STORE_OK(checked);
  EXPECT_GT(checked->faults.size(), 2U);  // and all that leans on it
  EXPECT_FALSE(checked->faults[0].affected.empty());
}

TEST_F(KeepingAStore, ChecksTheSameInAnyMemoryAndWithAnyThreads) {
  STORE_OK(compact(*store_, {.max_memory_bytes = 64ULL << 20}));
  const std::string name = all_names(*files_, "s/packs")[0];
  std::string pack = *io::read_text(*files_, name, 1 << 24);
  pack[pack.size() / 3] ^= 1;
  files_->put(name, pack);
  std::vector<std::string> first;
  for (const std::uint64_t memory : {1ULL << 20, 64ULL << 20, 512ULL << 20})
    for (const unsigned threads : {1U, 3U}) {
      const auto checked = check_store(
          *reopen(*files_), {.data = true, .thread_count = threads, .max_memory_bytes = memory});
      STORE_OK(checked);
      std::vector<std::string> said;
      for (const StoreFault& fault : checked->faults)
        said.push_back(fault.error.text() + " " + to_hex(fault.chunk) + " " +
                       std::to_string(fault.affected.size()));
      ASSERT_FALSE(said.empty());
      if (first.empty()) first = said;
      EXPECT_EQ(said, first) << memory << " bytes, " << threads << " threads";
      EXPECT_EQ(checked->read_bytes, store_stats(*reopen(*files_), {})->stored_bytes);
    }
  CancelToken cancel;
  cancel.cancel();
  CheckRequest request{.data = true};
  request.context.cancel = &cancel;
  EXPECT_EQ(check_store(*store_, request).error().code, ErrorCode::kCancelled);
}

// One bit at every byte of a small store: the check sees it, and nobody reads wrong bytes.
TEST(DamagedStores, EveryFlippedBitIsFound) {
  const auto files = io::make_memory_file_system();
  const std::string text = safetensors_of({{"a", weights(1500, 1)}});
  files->put("m.safetensors", text);
  const auto made = make_store(*files);
  const auto saved = save(*made, *files, "m.safetensors");
  STORE_OK(saved);
  for (const std::string& name : all_names(*files, "s")) {
    if (name.find("kilter-store.json") != std::string::npos ||
        name.find("/locks/") != std::string::npos || name.find(".lock") != std::string::npos)
      continue;
    const std::string sound = *io::read_text(*files, name, 1 << 24);
    for (std::size_t i = 0; i < sound.size(); ++i) {
      std::string bad = sound;
      bad[i] = static_cast<char>(bad[i] ^ (1 << (i % 8)));
      files->put(name, bad);
      const auto store = Store::open(make_folder_place(*files, "s"));
      bool found = !store;
      if (store) {
        const auto checked = check_store(**store, {.data = true, .thread_count = 1});
        found = !checked || !checked->faults.empty();
        const auto back = files_of(*store, saved->commit);
        if (back) {
          EXPECT_EQ(back->at("m.safetensors"), text) << name << " byte " << i;
        }
      }
      // Zeros between payloads and the ends of a reference say nothing.
      const bool padding = name.find("/packs/") != std::string::npos && sound[i] == 0;
      EXPECT_TRUE(found || padding) << name << " byte " << i;
    }
    files->put(name, sound);
  }
}

}  // namespace
}  // namespace kilter::store::test
