// Every call fails in turn; power is lost at each. The old output or the new one, never half.
#include "io/publish.h"

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <functional>
#include <map>

#include "io/file_tree.h"
#include "io/io_test_support.h"

namespace kilter::io {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

using Content = std::map<std::string, std::string>;

/// Every file below `root` with its text.
Content content_of(FileSystem& files, const std::string& root) {
  Content content;
  const auto tree = list_file_tree(files, root);
  EXPECT_OK(tree);
  if (tree)
    for (const FileTreeEntry& entry : tree->files)
      content[entry.path] = text_of(files, join_path(root, entry.path));
  return content;
}

Status publish(Result<std::unique_ptr<Publication>> publication, const Content& content) {
  if (!publication) return fail(publication.error());
  for (const auto& [name, text] : content) {
    KILTER_ASSIGN(WriteFile * file, (*publication)->add(name));
    KILTER_TRY(file->reserve(text.size()));
    KILTER_TRY(file->write_at(0, as_bytes(text)));
  }
  return (*publication)->commit();
}

/// One way to publish, with what stood in the folder "root" before and must stand there after.
struct Scenario {
  const char* name;
  Content before;
  Content after;
  std::function<Status(FileSystem&, const std::string& root)> run;
};
void PrintTo(const Scenario& scenario, std::ostream* out) { *out << scenario.name; }

const std::vector<Scenario>& scenarios() {
  static const Content kNew = {{"a", "new a"}, {"sub/b", "new b"}, {"sub/deep/c", "new c"}};
  static const std::vector<Scenario> kAll = {
      {"NewFolder",
       {{"other", "x"}},
       {{"other", "x"}, {"out/a", "new a"}, {"out/sub/b", "new b"}, {"out/sub/deep/c", "new c"}},
       [](FileSystem& files, const std::string& root) {
         return publish(Publication::folder(files, root + "/out", Replace::kRefuse), kNew);
       }},
      {"ReplacedFolder",
       {{"out/a", "old a"}, {"out/old/b", "old b"}},
       {{"out/a", "new a"}, {"out/sub/b", "new b"}, {"out/sub/deep/c", "new c"}},
       [](FileSystem& files, const std::string& root) {
         return publish(Publication::folder(files, root + "/out/", Replace::kAllow), kNew);
       }},
      {"NewFile",
       {{"other", "x"}},
       {{"other", "x"}, {"out", "new"}},
       [](FileSystem& files, const std::string& root) {
         return publish(Publication::beside(files, root, Replace::kRefuse), {{"out", "new"}});
       }},
      {"ReplacedFile",
       {{"out", "old"}},
       {{"out", "new"}},
       [](FileSystem& files, const std::string& root) {
         return publish(Publication::beside(files, root, Replace::kAllow), {{"out", "new"}});
       }},
      {"FileInNewFolders",
       {{"other", "x"}},
       {{"other", "x"}, {"p/q/out", "new"}},
       [](FileSystem& files, const std::string& root) {
         return publish(Publication::beside(files, root, Replace::kRefuse), {{"p/q/out", "new"}});
       }},
  };
  return kAll;
}

/// Several files replaced one by one: errors undo all, but a crash may fall between two renames.
const Scenario& several_files() {
  static const Scenario kScenario = {
      "SeveralFiles",
      {{"a.json", "old json"}, {"z.main", "old main"}},
      {{"a.json", "new json"}, {"m.extra", "new extra"}, {"z.main", "new main"}},
      [](FileSystem& files, const std::string& root) {
        return publish(Publication::beside(files, root, Replace::kAllow),
                       {{"a.json", "new json"}, {"m.extra", "new extra"}, {"z.main", "new main"}});
      }};
  return kScenario;
}

std::unique_ptr<MemoryFileSystem> memory_with(const Content& content) {
  auto memory = make_memory_file_system();
  memory->put("root/.keep", "");
  EXPECT_OK(memory->remove("root/.keep"));
  EXPECT_OK(memory->sync_folder("root"));
  for (const auto& [name, text] : content) memory->put("root/" + name, text);
  return memory;
}

/// What the target's name shows after a crash; temporary names may be left over.
Content without_leftovers(Content content) {
  std::erase_if(
      content, [](const auto& entry) { return entry.first.find(".kilter-") != std::string::npos; });
  return content;
}

std::uint64_t call_count_of(const Scenario& scenario) {
  const auto memory = memory_with(scenario.before);
  const auto files = make_fault_file_system(*memory);
  EXPECT_OK(scenario.run(*files, "root"));
  return files->call_count();
}

class PublicationScenario : public testing::TestWithParam<Scenario> {};

std::vector<Scenario> all_scenarios() {
  std::vector<Scenario> all = scenarios();
  all.push_back(several_files());
  return all;
}
const auto scenario_name = [](const auto& row) { return std::string(row.param.name); };
INSTANTIATE_TEST_SUITE_P(Every, PublicationScenario, testing::ValuesIn(all_scenarios()),
                         scenario_name);

TEST_P(PublicationScenario, AppearsWholeInMemory) {
  const auto memory = memory_with(GetParam().before);
  ASSERT_OK(GetParam().run(*memory, "root"));
  EXPECT_EQ(content_of(*memory, "root"), GetParam().after);
  memory->lose_power();
  EXPECT_EQ(content_of(*memory, "root"), GetParam().after) << "not durable";
}

TEST_P(PublicationScenario, AppearsWholeOnTheRealDisk) {
  const TempFolder temp;
  FileSystem& files = real_file_system();
  for (const auto& [name, text] : GetParam().before) {
    const std::string folder = parent_path(temp / name);
    if (!files.stat(folder)) {
      ASSERT_OK(files.make_folder(folder));
    }
    ASSERT_OK(write_text(files, temp / name, text));
  }
  ASSERT_OK(GetParam().run(files, temp.path()));
  EXPECT_EQ(content_of(files, temp.path()), GetParam().after);
}

TEST_P(PublicationScenario, LeavesTheOldStateAndNothingElseWhenAnyCallFails) {
  const std::uint64_t calls = call_count_of(GetParam());
  ASSERT_GT(calls, 5U);
  std::uint64_t failures = 0;
  for (const Fault fault : {Fault::kIoError, Fault::kNoSpace}) {
    for (std::uint64_t call = 0; call < calls; ++call) {
      const auto memory = memory_with(GetParam().before);
      const auto files = make_fault_file_system(*memory);
      files->fail_at(call, fault);
      const Status status = GetParam().run(*files, "root");
      if (!status) {
        ++failures;
        const auto code = fault == Fault::kIoError ? ErrorCode::kIo : ErrorCode::kNoSpace;
        EXPECT_EQ(status.error().code, code) << call;
        EXPECT_FALSE(status.error().path.empty()) << call;
        EXPECT_EQ(status.error().path.find(".kilter-"), std::string::npos) << status.error().text();
      }
      // Only removing the old output, once the new one is durable, may fail unreported; it is
      // tried again.
      EXPECT_EQ(content_of(*memory, "root"), status ? GetParam().after : GetParam().before) << call;
      const std::size_t folders = names_in(*memory, "root").size();
      const auto expected = memory_with(status ? GetParam().after : GetParam().before);
      EXPECT_EQ(folders, names_in(*expected, "root").size()) << "an empty folder is left: " << call;
    }
  }
  EXPECT_GT(failures, calls) << "faults were not reported";
}

TEST_P(PublicationScenario, DoesNotNoticeShortTransfers) {
  const auto memory = memory_with(GetParam().before);
  const auto files = make_fault_file_system(*memory);
  files->fail_at(0, Fault::kShortTransfer, true);
  ASSERT_OK(GetParam().run(*files, "root"));
  EXPECT_EQ(content_of(*memory, "root"), GetParam().after);
}

class PublicationCrash : public testing::TestWithParam<Scenario> {};
INSTANTIATE_TEST_SUITE_P(Every, PublicationCrash, testing::ValuesIn(scenarios()), scenario_name);

TEST_P(PublicationCrash, LeavesTheOldStateOrTheNewAtEveryStep) {
  const std::uint64_t calls = call_count_of(GetParam());
  bool saw_old = false, saw_new = false;
  for (std::uint64_t call = 0; call <= calls; ++call) {
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      const auto memory = memory_with(GetParam().before);
      const auto files = make_fault_file_system(*memory);
      files->fail_at(call, Fault::kIoError, true);  // from here on the program is dead
      const Status status = GetParam().run(*files, "root");
      if (seed == 0) memory->lose_power();
      if (seed > 0) memory->lose_power_partly(seed);
      const Content found = without_leftovers(content_of(*memory, "root"));
      const bool is_new = found == GetParam().after;
      EXPECT_TRUE(is_new || found == GetParam().before) << call << ", seed " << seed;
      EXPECT_TRUE(is_new || !status) << "success was reported, and lost: " << call;
      (is_new ? saw_new : saw_old) = true;
    }
  }
  EXPECT_TRUE(saw_old);
  EXPECT_TRUE(saw_new);
}

TEST(PublicationOfSeveralFiles, ShowsTheNewMainFileOnlyWithTheNewOthers) {
  const Scenario& scenario = several_files();
  const std::uint64_t calls = call_count_of(scenario);
  for (std::uint64_t call = 0; call <= calls; ++call) {
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      const auto memory = memory_with(scenario.before);
      const auto files = make_fault_file_system(*memory);
      files->fail_at(call, Fault::kIoError, true);
      static_cast<void>(scenario.run(*files, "root"));
      if (seed == 0) memory->lose_power();
      if (seed > 0) memory->lose_power_partly(seed);
      const std::string main = text_of(*memory, "root/z.main");
      EXPECT_TRUE(main == "old main" || main == "new main") << main;
      const std::string json = text_of(*memory, "root/a.json");
      EXPECT_TRUE(json == "old json" || json == "new json") << json;
      if (main == "new main") {
        EXPECT_EQ(without_leftovers(content_of(*memory, "root")), scenario.after);
      }
    }
  }
}

TEST(Publication, RemovesWhatWasWrittenWithoutCommit) {
  const TempFolder temp;
  FileSystem& files = real_file_system();
  {
    auto folder = Publication::folder(files, temp / "out", Replace::kRefuse);
    ASSERT_OK(folder);
    ASSERT_OK((*folder)->add("x/y/z"));
    auto beside = Publication::beside(files, temp.path(), Replace::kRefuse);
    ASSERT_OK(beside);
    ASSERT_OK((*beside)->add("p/q"));
    EXPECT_EQ(names_in(files, temp.path()).size(), 2U);
    EXPECT_THAT(names_in(files, temp.path())[0], testing::StartsWith(".out.kilter-"));
    EXPECT_THAT(names_in(files, temp / "p")[0], testing::EndsWith(".tmp"));
  }
  EXPECT_TRUE(names_in(files, temp.path()).empty());
}

TEST(Publication, RefusesAnExistingTargetAtOnce) {
  const auto memory = memory_with({{"out", "old"}, {"d/x", "old"}});
  EXPECT_EQ(code_of(Publication::folder(*memory, "root/d", Replace::kRefuse)),
            ErrorCode::kAlreadyExists);
  const auto beside = Publication::beside(*memory, "root", Replace::kRefuse);
  ASSERT_OK(beside);
  const auto added = (*beside)->add("out");
  ASSERT_EQ(code_of(added), ErrorCode::kAlreadyExists);
  EXPECT_EQ(added.error().path, "root/out");
  EXPECT_THAT(added.error().hint, HasSubstr("--force"));
}

TEST(Publication, NeverReplacesAFolderByAFileOrTheOtherWayRound) {
  const auto memory = memory_with({{"out", "old"}, {"d/x", "old"}});
  EXPECT_EQ(code_of(Publication::folder(*memory, "root/out", Replace::kAllow)),
            ErrorCode::kInvalidArgument);
  const auto beside = Publication::beside(*memory, "root", Replace::kAllow);
  ASSERT_OK(beside);
  EXPECT_EQ(code_of((*beside)->add("d")), ErrorCode::kInvalidArgument);
}

TEST(Publication, RefusesATargetThatAppearedMeanwhile) {
  const auto memory = memory_with({});
  auto folder = Publication::folder(*memory, "root/out", Replace::kRefuse);
  ASSERT_OK(folder);
  ASSERT_OK((*folder)->add("a"));
  memory->put("root/out/theirs", "theirs");
  EXPECT_EQ(code_of((*folder)->commit()), ErrorCode::kAlreadyExists);
  EXPECT_EQ(content_of(*memory, "root"), (Content{{"out/theirs", "theirs"}}));
}

TEST(Publication, RefusesNamesThatLeadOutAndNamesGivenTwice) {
  const auto memory = memory_with({});
  memory->put_symlink("root/link", "/elsewhere");
  memory->put("elsewhere/x", "");
  auto folder = Publication::folder(*memory, "root/out", Replace::kRefuse);
  auto beside = Publication::beside(*memory, "root", Replace::kRefuse);
  ASSERT_OK(folder);
  ASSERT_OK(beside);
  for (Publication* publication : {folder->get(), beside->get()}) {
    EXPECT_EQ(code_of(publication->add("../x")), ErrorCode::kUnsafe);
    EXPECT_EQ(code_of(publication->add("/x")), ErrorCode::kUnsafe);
    EXPECT_OK(publication->add("same"));
    EXPECT_EQ(code_of(publication->add("same")), ErrorCode::kAlreadyExists);
  }
  EXPECT_EQ(code_of((*beside)->add("link/y")), ErrorCode::kUnsafe);
}

TEST(Publication, RefusesFoldersWithoutAName) {
  const auto memory = memory_with({});
  for (const std::string path : {"", "/", ".", "..", "root/..", "root/."})
    EXPECT_EQ(code_of(Publication::folder(*memory, path, Replace::kAllow)),
              ErrorCode::kInvalidArgument)
        << path;
  EXPECT_EQ(code_of(Publication::folder(*memory, "none/out", Replace::kRefuse)),
            ErrorCode::kNotFound);
  EXPECT_EQ(code_of(Publication::beside(*memory, "none", Replace::kRefuse)), ErrorCode::kNotFound);
}

TEST(Publication, TakesTheLongestNamesAFileMayHave) {
  const TempFolder temp;
  auto beside = Publication::beside(real_file_system(), temp.path(), Replace::kRefuse);
  ASSERT_OK(beside);
  std::string name;
  while (name.size() + 2 < 255) name += "é";
  ASSERT_OK((*beside)->add(name));
  EXPECT_OK((*beside)->commit());
  EXPECT_THAT(names_in(real_file_system(), temp.path()), ElementsAre(name));
}

TEST(Publication, ReplacesASymlinkAndNotWhatItLeadsTo) {
  const TempFolder temp;
  FileSystem& files = real_file_system();
  ASSERT_OK(write_text(files, temp / "blob", "old"));
  ASSERT_EQ(::symlink("blob", (temp / "out").c_str()), 0);
  ASSERT_OK(publish(Publication::beside(files, temp.path(), Replace::kAllow), {{"out", "new"}}));
  EXPECT_EQ(text_of(files, temp / "blob"), "old");
  EXPECT_EQ(text_of(files, temp / "out"), "new");
  EXPECT_THAT(names_in(files, temp.path()), ElementsAre("blob", "out"));
}

TEST(Publication, FallsBackToARenameWhereNamesCannotBeSwapped) {
  // Forwards all but exchange().
  class NoSwap : public FileSystem {
   public:
    explicit NoSwap(FileSystem& inner) : inner_(inner) {}
    Result<std::unique_ptr<ReadFile>> open_read(const std::string& path) override {
      return inner_.open_read(path);
    }
    Result<std::unique_ptr<WriteFile>> create(const std::string& path) override {
      return inner_.create(path);
    }
    Result<FileStat> stat(const std::string& path, bool follow) override {
      return inner_.stat(path, follow);
    }
    Result<std::vector<FolderEntry>> list(const std::string& path) override {
      return inner_.list(path);
    }
    Status make_folder(const std::string& path) override { return inner_.make_folder(path); }
    Status remove(const std::string& path) override { return inner_.remove(path); }
    Status rename(const std::string& from, const std::string& to, Replace replace) override {
      return inner_.rename(from, to, replace);
    }
    Status sync_folder(const std::string& path) override { return inner_.sync_folder(path); }
    Result<std::uint64_t> free_bytes(const std::string& path) override {
      return inner_.free_bytes(path);
    }

   private:
    FileSystem& inner_;
  };
  for (const Scenario& scenario : all_scenarios()) {
    const auto memory = memory_with(scenario.before);
    NoSwap files(*memory);
    EXPECT_OK(scenario.run(files, "root"));
    EXPECT_EQ(content_of(*memory, "root"), scenario.after) << scenario.name;
  }
}

}  // namespace
}  // namespace kilter::io
