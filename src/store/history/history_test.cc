// Naming commits and choosing among them.
#include "store/history/history.h"

#include "store/history/diff.h"
#include "store/history/filter.h"
#include "store/history/summary.h"
#include "store/store_test_support.h"
#include "store/write/cutter.h"
#include "store/write/describe.h"

namespace kilter::store::test {
namespace {

class NamingCommits : public testing::Test {
 protected:
  void SetUp() override {
    store_ = make_store(*files_);
    for (unsigned i = 0; i < 5; ++i) {
      files_->put("m.safetensors", safetensors_of({{"a", weights(2000, i)}}));
      const auto saved = save(*store_, *files_, "m.safetensors",
                              {{"step", i * 10}, {"loss", std::abs(3.0 - i)}, {"tag", "run A"}});
      ASSERT_TRUE(worked(saved));
      commits_.push_back(saved->commit);
    }
    ASSERT_TRUE(*move_ref(store_->place(), RefKind::kTag, "v1.0", commits_[1], std::nullopt));
    auto loaded = History::load(*store_);
    ASSERT_TRUE(worked(loaded));
    history_ = std::move(*loaded);
  }

  std::optional<Digest> find(const std::string& selector) {
    const auto found = history_.resolve(selector);
    return found ? std::optional(history_.commits()[*found].digest) : std::nullopt;
  }
  std::size_t count(const std::string& condition) {
    const auto filter = Filter::parse(condition);
    EXPECT_TRUE(worked(filter));
    std::size_t sum = 0;
    for (const CommitSummary& commit : history_.commits()) sum += filter->matches(commit) ? 1U : 0U;
    return sum;
  }

  std::unique_ptr<io::MemoryFileSystem> files_ = io::make_memory_file_system();
  std::shared_ptr<Store> store_;
  std::vector<Digest> commits_;
  History history_;
};

TEST_F(NamingCommits, FollowsEverySelector) {
  EXPECT_EQ(find(""), commits_[4]);
  EXPECT_EQ(find("main"), commits_[4]);
  EXPECT_EQ(find("main~3"), commits_[1]);
  EXPECT_EQ(find("v1.0"), commits_[1]);
  EXPECT_EQ(find("v1.0~1"), commits_[0]);
  EXPECT_EQ(find(to_hex(commits_[2]).substr(0, 16)), commits_[2]);
  EXPECT_EQ(find("step:20"), commits_[2]);
  EXPECT_EQ(find("main:step:20"), commits_[2]);
  EXPECT_EQ(find("best:loss"), commits_[3]);
  EXPECT_EQ(find("best:-loss"), commits_[0]);
  EXPECT_EQ(find("time:2200-01-01"), commits_[4]);
  EXPECT_EQ(find("time:1999-01-01"), std::nullopt);
  EXPECT_EQ(find("step:21"), std::nullopt);
  EXPECT_EQ(find("step:20x"), std::nullopt);
  EXPECT_EQ(find("main~9"), std::nullopt);
  EXPECT_EQ(find("nothing"), std::nullopt);
}

TEST_F(NamingCommits, FiltersByNumbersAndTexts) {
  EXPECT_EQ(count("loss<2 and step>10"), 3U);
  EXPECT_EQ(count("loss<2 or step=0"), 4U);
  EXPECT_EQ(count("not (step>=20)"), 2U);
  EXPECT_EQ(count("tag = 'run A' and author ~ 'A*'"), 5U);
  EXPECT_EQ(count("missing < 5"), 0U);
  EXPECT_EQ(count("time > 2001-01-01"), 5U);
  for (const char* bad : {"", "loss", "loss <", "loss < 2 and", "(loss<2", "loss ! 2", "loss<2 x"})
    EXPECT_FALSE(Filter::parse(bad)) << bad;
}

// Joints nest to the left, and matching goes down there.
TEST_F(NamingCommits, RefusesConditionsWithoutEnd) {
  for (const std::string_view joint : {" or ", " and "}) {
    std::string condition = "step>0";
    for (int i = 0; i < 1000; ++i) condition.append(joint).append("step>0");
    EXPECT_EQ(count(condition), 4U);
    EXPECT_FALSE(Filter::parse(condition + std::string(joint) + "step>0"));
  }
}

// One such commit by another writer must not take the whole log away.
TEST(CommitSummaries, ReadIntegersThatFitNoWord) {
  const std::string digest = to_hex(blake3(as_bytes("x")));
  const std::string text =
      R"({"author":"Ada","lineage":[],"message":"m","metadata":{"a":[1],"big":9223372036854775808,)"
      R"("n":-7,"tokens":100000000000000000000},"parents":[")" +
      digest + R"("],"time":"2026-11-21","tree":")" + digest + R"(","version":1})";
  const auto commit = parse_commit(text);
  STORE_OK(commit);
  SummaryReader reader;
  const auto summary = reader.read({}, 5, text);
  STORE_OK(summary);
  EXPECT_EQ(summary->number("tokens"), 1e20);
  EXPECT_EQ(summary->number("big"), 0x1p63);
  EXPECT_EQ(*summary->find("n"), MetaValue(std::int64_t{-7}));
  EXPECT_EQ(*summary->find("a"), MetaValue(std::string("[1]")));
  EXPECT_EQ(summary->parents, commit->parents);
  EXPECT_EQ(summary->author, "Ada");
  EXPECT_EQ(summary->time_unix_ns, 5);
  EXPECT_FALSE(reader.read({}, 5, text.substr(1)));
}

TEST_F(NamingCommits, DiffsByNamesOfChunks) {
  const auto same = diff_commits(*store_, commits_[1], *store_, commits_[1]);
  STORE_OK(same);
  EXPECT_TRUE(same->same);
  const auto diff = diff_commits(*store_, commits_[1], *store_, commits_[2]);
  STORE_OK(diff);
  EXPECT_FALSE(diff->same);
  ASSERT_EQ(diff->tensors.size(), 1U);
  EXPECT_EQ(diff->tensors[0].changed_bytes, 8000U);
  EXPECT_EQ(diff->metadata.size(), 2U);
}

TEST(RefNames, AreCheckedStrictly) {
  for (const char* good : {"main", "v1.0", "exp/lr-2e-5", "a+b_c"})
    EXPECT_TRUE(check_ref_name(good));
  for (const char* bad :
       {"", ".x", "-x", "/x", "x/", "a..b", "a//b", "a b", "a@b", "deadbeef", "a:b", "x/.y", "~"})
    EXPECT_FALSE(check_ref_name(bad)) << bad;
}

TEST(CommitTimes, ReadBackAsTheyWereWritten) {
  for (const std::int64_t ns : {std::int64_t{0}, std::int64_t{1'700'000'000'123'456'789},
                                std::int64_t{-1}, std::int64_t{4'102'444'800'000'000'000}})
    EXPECT_EQ(parse_time(time_text(ns)), ns);
  EXPECT_EQ(parse_time("1970-01-02"), 86'400'000'000'000);
  EXPECT_EQ(parse_time("2016-12-31T23:59:60"), parse_time("2017-01-01"));
  EXPECT_TRUE(parse_time("2261-12-31T23:59:59"));
  EXPECT_EQ(parse_time("2261-12-31T23:59:60"), std::nullopt);  // would be in 2262
  for (const char* bad :
       {"", "2026", "2026-13-01", "2026-02-30", "2026-01-01T25:00", "2026-01-01x"})
    EXPECT_EQ(parse_time(bad), std::nullopt) << bad;
}

TEST(CuttingByContent, FindsItsBordersAgainAfterAnInsertion) {
  std::mt19937_64 random(5);
  std::vector<std::byte> bytes(3'000'000);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  const auto cut = [](Bytes all) {
    Cutter cutter;
    std::set<Digest> chunks;
    while (!all.empty()) {
      all = all.subspan(cutter.add(all));
      if (cutter.chunk_ready()) chunks.insert(blake3(cutter.take()));
    }
    if (!cutter.empty()) chunks.insert(blake3(cutter.take()));
    return chunks;
  };
  const auto before = cut(bytes);
  bytes.insert(bytes.begin() + 1'000'000, std::byte{1});
  const auto after = cut(bytes);
  std::size_t common = 0;
  for (const Digest& digest : after) common += before.contains(digest) ? 1U : 0U;
  EXPECT_GT(before.size(), 15U);
  EXPECT_GE(common + 3, after.size());
}

TEST(Describing, UnderstandsValuesAsTheyAreTyped) {
  EXPECT_EQ(metadata_value("12"), 12);
  EXPECT_EQ(metadata_value("1e-5"), 1e-5);
  EXPECT_EQ(metadata_value("true"), true);
  EXPECT_EQ(metadata_value("[1,2]").size(), 2U);
  EXPECT_EQ(metadata_value("hello world"), "hello world");
}

TEST(Trees, AreRefusedWhenTheyLie) {
  Tree tree;
  tree.files = {{"a", 10'000}};
  tree.tensors = {{"t", DType::kF32, {2000}, 0, 1000, 8000, 4 << 20, {Digest{}}}};
  tree.skeleton = {{Digest{}, 2000}};
  EXPECT_TRUE(worked(parse_tree(tree_text(tree))));
  const auto refused = [&](auto change) {
    Tree bad = tree;
    change(bad);
    return !parse_tree(tree_text(bad)).has_value();
  };
  EXPECT_TRUE(refused([](Tree& t) { t.files[0].path = "../a"; }));
  EXPECT_TRUE(refused([](Tree& t) { t.files[0].path = "/a"; }));
  EXPECT_TRUE(refused([](Tree& t) { t.files[0].bytes = 9999; }));
  EXPECT_TRUE(refused([](Tree& t) { t.skeleton[0].bytes = 1999; }));
  EXPECT_TRUE(refused([](Tree& t) { t.skeleton.clear(); }));
  EXPECT_TRUE(refused([](Tree& t) { t.tensors[0].offset_bytes = 3000; }));
  EXPECT_TRUE(refused([](Tree& t) { t.tensors[0].file = 1; }));
  EXPECT_TRUE(refused([](Tree& t) { t.tensors[0].chunks.clear(); }));
  EXPECT_TRUE(refused([](Tree& t) { t.tensors[0].piece_bytes = 0; }));
  EXPECT_TRUE(refused([](Tree& t) { t.tensors.push_back(t.tensors[0]); }));
  EXPECT_TRUE(refused([](Tree& t) { t.files.push_back({"a", 0}); }));
  // A file that is also a folder; what sorts between the two must not hide it.
  EXPECT_TRUE(refused([](Tree& t) { t.files.push_back({"a/b", 0}); }));
  EXPECT_TRUE(refused([](Tree& t) { t.files.insert(t.files.end(), {{"a!", 0}, {"a!/c", 0}}); }));
  EXPECT_TRUE(refused([](Tree& t) {
    t.files.insert(t.files.end(), {{"a!", 0}, {"a-b/c", 0}, {"a.txt", 0}, {"a/b/c", 0}});
  }));
  EXPECT_FALSE(refused([](Tree& t) {
    t.files.insert(t.files.end(), {{"a!", 0}, {"a-b/c", 0}, {"a.txt", 0}, {"ab/c", 0}});
  }));
}

}  // namespace
}  // namespace kilter::store::test
