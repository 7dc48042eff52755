// Every call to the disk fails in turn, in every way: what was there stays whole, and work goes on.
#include <gtest/gtest.h>

#include <functional>

#include "base/try.h"
#include "io/fault_file_system.h"
#include "store/history/history.h"
#include "store/keep/collect.h"
#include "store/keep/compact.h"
#include "store/keep/transfer.h"
#include "store/torture/recording_file_system.h"
#include "store/torture/rounds.h"
#include "store/write/chunk_writer.h"

namespace kilter::store {
namespace {

constexpr std::uint64_t kFaultTensorBytes = 6144;

testing::AssertionResult went_well(const Status& status) {
  if (status) return testing::AssertionSuccess();
  return testing::AssertionFailure() << status.error().text();
}

Result<std::shared_ptr<Store>> open_in(io::FileSystem& files) {
  return Store::open(make_folder_place(files, "store"));
}

/// Rounds 0 to `last` on main; round 500 on a branch that was given up between them.
Status fill_store(Store& store, std::uint64_t last) {
  for (std::uint64_t round = 0; round <= last; ++round) {
    KILTER_TRY(save_round(store, round, kFaultTensorBytes));
    if (round > 0) continue;
    KILTER_ASSIGN(const SaveOutcome side, save_round(store, 500, kFaultTensorBytes, "side"));
    KILTER_TRY(move_ref(store.place(), RefKind::kBranch, "side", std::nullopt, side.commit));
  }
  return ok();
}

/// Makes one and the same store as often as it is asked.
class StoreMaker {
 public:
  explicit StoreMaker(std::uint64_t last_round) {
    const auto memory = io::make_memory_file_system();
    const auto files = make_recording_file_system(*memory);
    auto store = Store::create(make_folder_place(*files, "store"));
    EXPECT_TRUE(store.has_value());
    const Status filled = store ? fill_store(**store, last_round) : fail(store.error());
    EXPECT_TRUE(went_well(filled));
    writes_ = files->writes();
  }
  std::unique_ptr<io::MemoryFileSystem> make() const {
    auto memory = io::make_memory_file_system();
    WriteReplay replay(*memory);
    for (const RecordedWrite& write : writes_) EXPECT_TRUE(went_well(replay.apply(write)));
    return memory;
  }

 private:
  std::vector<RecordedWrite> writes_;
};

/// Something done to a store whose main branch is at round `before`.
struct FaultScenario {
  const char* name;
  std::uint64_t before;
  std::uint64_t after;
  std::function<Status(Store&)> run;
};
void PrintTo(const FaultScenario& scenario, std::ostream* out) { *out << scenario.name; }

/// A healthy store to copy from or to.
std::shared_ptr<Store> healthy_store(io::MemoryFileSystem& files, bool filled) {
  auto store = Store::create(make_folder_place(files, "other"));
  EXPECT_TRUE(store.has_value());
  if (store && filled) {
    EXPECT_TRUE(went_well(fill_store(**store, 2)));
  }
  return store ? *store : nullptr;
}

Status push_in(Store& store) {
  const auto memory = io::make_memory_file_system();
  const auto source = healthy_store(*memory, true);
  KILTER_ASSIGN(const History history, History::load(*source));
  const Digest tip = history.commits()[*history.tip(RefKind::kBranch, "main")].digest;
  TransferRequest request;
  request.refs = {{RefKind::kBranch, "other", tip}};
  return transfer(*source, store, request).map([](const TransferOutcome&) {});
}

Status push_out(Store& store) {
  const auto memory = io::make_memory_file_system();
  const auto target = healthy_store(*memory, false);
  KILTER_ASSIGN(const History history, History::load(store));
  TransferRequest request;
  request.refs = history.refs();
  KILTER_TRY(transfer(store, *target, request));
  return check_rounds(*target).map([](std::uint64_t) {});
}

const FaultScenario kFaultScenarios[] = {
    {"Save", 1, 2,
     [](Store& store) -> Status {
       return save_round(store, 2, kFaultTensorBytes).map([](const SaveOutcome&) {});
     }},
    {"SaveThatMergesIndexFiles", 6, 7,
     [](Store& store) -> Status {
       return save_round(store, 7, kFaultTensorBytes).map([](const SaveOutcome&) {});
     }},
    {"Collect", 1, 1,
     [](Store& store) -> Status { return collect(store, {}).map([](const CollectReport&) {}); }},
    {"Compact", 3, 3,
     [](Store& store) -> Status { return compact(store, {}).map([](const CompactReport&) {}); }},
    {"PushIn", 1, 1, push_in},
    {"PushOut", 1, 1, push_out},
};

class StoreFault : public testing::TestWithParam<FaultScenario> {
 protected:
  /// Opens through the faults and runs; the errors of both count.
  static Status run_on(io::FileSystem& files) {
    KILTER_ASSIGN(const auto store, open_in(files));
    return GetParam().run(*store);
  }
  static Status look_and_go_on(io::FileSystem& files, bool succeeded) {
    KILTER_ASSIGN(const auto store, open_in(files));
    KILTER_TRY(check_rounds(*store));
    KILTER_ASSIGN(const std::uint64_t tip, tip_round(*store));
    EXPECT_TRUE(tip == GetParam().after || (tip == GetParam().before && !succeeded)) << tip;
    KILTER_TRY(collect(*store, {}));
    KILTER_TRY(save_round(*store, 100, kFaultTensorBytes));
    KILTER_TRY(save_round(*store, 500, kFaultTensorBytes, "side"));
    return check_rounds(*store).map([](std::uint64_t) {});
  }
};

TEST_P(StoreFault, LeavesAWholeStoreWhicheverCallFails) {
  const StoreMaker maker(GetParam().before);
  std::uint64_t errors = 0;
  std::uint64_t tried = 0;
  for (const io::Fault fault : {io::Fault::kIoError, io::Fault::kNoSpace}) {
    for (std::uint64_t call = 0; true; ++call) {
      const auto memory = maker.make();
      const auto files = io::make_fault_file_system(*memory);
      files->fail_at(call, fault);
      const Status status = run_on(*files);
      if (files->call_count() <= call) break;  // it was over before
      ++tried;
      if (!status) {
        ++errors;
        EXPECT_EQ(status.error().code,
                  fault == io::Fault::kIoError ? ErrorCode::kIo : ErrorCode::kNoSpace)
            << call << ": " << status.error().text();
      }
      ASSERT_TRUE(went_well(look_and_go_on(*memory, status.has_value()))) << "call " << call;
    }
  }
  EXPECT_GT(tried, 60U);
  EXPECT_GT(errors, tried / 2);
}

TEST_P(StoreFault, DoesNotNoticeShortTransfers) {
  const StoreMaker maker(GetParam().before);
  const auto memory = maker.make();
  const auto files = io::make_fault_file_system(*memory);
  files->fail_at(0, io::Fault::kShortTransfer, true);
  ASSERT_TRUE(went_well(run_on(*files)));
  EXPECT_TRUE(went_well(look_and_go_on(*memory, true)));
}

INSTANTIATE_TEST_SUITE_P(Every, StoreFault, testing::ValuesIn(kFaultScenarios),
                         [](const auto& row) { return std::string(row.param.name); });

TEST(History, KnowsWhatReferencesPointToThoughTheIndexIsOlder) {
  const auto memory = StoreMaker(0).make();
  const auto early = open_in(*memory);
  const auto other = open_in(*memory);
  ASSERT_TRUE(early && other);
  ASSERT_TRUE(save_round(**other, 1, kFaultTensorBytes).has_value());
  const auto history = History::load(**early);
  ASSERT_TRUE(history.has_value());
  EXPECT_TRUE(history->tip(RefKind::kBranch, "main").has_value());
}

TEST(Collect, RemovesNothingWhereAReferredCommitIsMissing) {
  const auto memory = StoreMaker(1).make();
  const auto store = open_in(*memory);
  ASSERT_TRUE(store.has_value());
  const auto packs = (*store)->place().list("packs");
  for (const auto& file : (*store)->index()->files())
    for (std::size_t i = 0; i < file->commit_count(); ++i)
      if (round_of(*parse_commit(file->commit(i)->text)) == std::uint64_t{1}) {
        ASSERT_TRUE((*store)->place().remove(index_name(file->name())).has_value());
      }
  const auto collected = collect(**store, {});
  ASSERT_FALSE(collected.has_value());
  EXPECT_EQ(collected.error().code, ErrorCode::kCorrupt);
  EXPECT_EQ((*store)->place().list("packs")->size(), packs->size());
}

TEST(ChunkWriter, NeverWritesAPackThatIsNamedLikeACondemnedOne) {
  const auto memory = StoreMaker(0).make();
  const auto store = open_in(*memory);
  ASSERT_TRUE(store.has_value());
  const auto write = [&](const std::set<Digest>& condemned) {
    ChunkWriterOptions options;
    options.thread_count = 1;
    options.condemned = condemned;
    ChunkWriter writer(**store, options);
    Digest digest{};
    EXPECT_TRUE(writer.add(std::vector<std::byte>(5000), ChunkKind::kData, &digest).has_value());
    return writer.finish()->packs.at(0).digest;
  };
  const Digest first = write({});
  EXPECT_EQ(write({}), first);
  EXPECT_NE(write({first}), first);
}

}  // namespace
}  // namespace kilter::store
