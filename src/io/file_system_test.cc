// One suite for every kind of file system.
#include "io/file_system.h"

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/fsuid.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>
#include <thread>

#include "io/io_test_support.h"
#include "io/transfer.h"

namespace kilter::io {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

/// A file system under test and a folder in it that is there.
struct Subject {
  std::unique_ptr<TempFolder> temp;
  std::unique_ptr<MemoryFileSystem> memory;
  std::unique_ptr<FaultFileSystem> fault;
  FileSystem* files = nullptr;
  std::string root;
};

Subject real_subject() {
  Subject subject;
  subject.temp = std::make_unique<TempFolder>();
  subject.files = &real_file_system();
  subject.root = subject.temp->path();
  return subject;
}

Subject memory_subject() {
  Subject subject;
  subject.memory = make_memory_file_system();
  subject.files = subject.memory.get();
  subject.root = "/root";
  EXPECT_OK(subject.files->make_folder("/root"));
  return subject;
}

Subject faulty(Subject subject) {
  subject.fault = make_fault_file_system(*subject.files);
  subject.files = subject.fault.get();
  return subject;
}

/// Every transfer arrives in halves: nobody may notice.
Subject halving(Subject subject) {
  subject = faulty(std::move(subject));
  subject.fault->fail_at(0, Fault::kShortTransfer, true);
  return subject;
}

struct Kind {
  const char* name;
  std::function<Subject()> make;
};
void PrintTo(const Kind& kind, std::ostream* out) { *out << kind.name; }

class AnyFileSystem : public testing::TestWithParam<Kind> {
 protected:
  std::string at(const std::string& name) const { return join_path(subject_.root, name); }
  Status write(const std::string& name, std::string_view text) {
    return write_text(files_, at(name), text);
  }
  std::string read(const std::string& name) { return text_of(files_, at(name)); }

  Subject subject_ = GetParam().make();
  FileSystem& files_ = *subject_.files;
};

INSTANTIATE_TEST_SUITE_P(
    Every, AnyFileSystem,
    testing::Values(Kind{"Real", real_subject}, Kind{"Memory", memory_subject},
                    Kind{"FaultOverMemory", [] { return faulty(memory_subject()); }},
                    Kind{"FaultOverReal", [] { return faulty(real_subject()); }},
                    Kind{"HalvesOverMemory", [] { return halving(memory_subject()); }},
                    Kind{"HalvesOverReal", [] { return halving(real_subject()); }}),
    [](const auto& row) { return std::string(row.param.name); });

TEST_P(AnyFileSystem, ReadsBackWhatWasWritten) {
  ASSERT_OK(write("a", "hello world"));
  EXPECT_EQ(read("a"), "hello world");
  const auto file = files_.open_read(at("a"));
  ASSERT_OK(file);
  EXPECT_EQ((*file)->bytes(), 11U);
  EXPECT_EQ((*file)->path(), at("a"));
  std::string part(5, ' ');
  EXPECT_OK((*file)->read_at(6, std::as_writable_bytes(std::span(part))));
  EXPECT_EQ(part, "world");
}

TEST_P(AnyFileSystem, WritesInAnyOrderAndFillsHolesWithZeros) {
  const auto file = files_.create(at("a"));
  ASSERT_OK(file);
  EXPECT_OK((*file)->write_at(4, as_bytes("ef")));
  EXPECT_OK((*file)->write_at(0, as_bytes("ab")));
  EXPECT_EQ(read("a"), std::string("ab\0\0ef", 6));
}

TEST_P(AnyFileSystem, RefusesReadsPastTheEnd) {
  ASSERT_OK(write("a", "0123456789"));
  const auto file = files_.open_read(at("a"));
  ASSERT_OK(file);
  std::string out(4, ' ');
  const auto bytes = std::as_writable_bytes(std::span(out));
  for (const std::uint64_t offset : {std::uint64_t{7}, std::uint64_t{11}, ~std::uint64_t{0}}) {
    const Status read = (*file)->read_at(offset, bytes);
    ASSERT_EQ(code_of(read), ErrorCode::kOutOfRange) << offset;
    EXPECT_EQ(read.error().path, at("a"));
    EXPECT_EQ(read.error().offset_bytes, offset);
  }
  EXPECT_OK((*file)->read_at(10, {}));
}

TEST_P(AnyFileSystem, RefusesWritesPastTheLargestFile) {
  const auto file = files_.create(at("a"));
  ASSERT_OK(file);
  const Status written = (*file)->write_at(~std::uint64_t{0} - 1, as_bytes("abcd"));
  EXPECT_EQ(code_of(written), ErrorCode::kNoSpace);
}

TEST_P(AnyFileSystem, SaysWhenAFileBecameShorter) {
  const auto writer = files_.create(at("a"));
  ASSERT_OK(writer);
  EXPECT_OK((*writer)->write_at(0, as_bytes("0123456789")));
  const auto reader = files_.open_read(at("a"));
  ASSERT_OK(reader);
  EXPECT_OK((*writer)->truncate(3));
  std::string out(10, ' ');
  const Status read = (*reader)->read_at(0, std::as_writable_bytes(std::span(out)));
  ASSERT_EQ(code_of(read), ErrorCode::kIo);
  EXPECT_THAT(read.error().text(), HasSubstr("shorter"));
}

TEST_P(AnyFileSystem, ReservesAndTruncates) {
  const auto file = files_.create(at("a"));
  ASSERT_OK(file);
  EXPECT_OK((*file)->reserve(10000));
  EXPECT_EQ(files_.stat(at("a"))->bytes, 10000U);
  EXPECT_OK((*file)->reserve(10));
  EXPECT_EQ(files_.stat(at("a"))->bytes, 10000U);
  EXPECT_OK((*file)->write_at(0, as_bytes("abc")));
  EXPECT_OK((*file)->truncate(2));
  EXPECT_EQ(read("a"), "ab");
  EXPECT_OK((*file)->truncate(4));
  EXPECT_EQ(read("a"), std::string("ab\0\0", 4));
}

TEST_P(AnyFileSystem, NamesWhatIsMissing) {
  const auto file = files_.open_read(at("none"));
  ASSERT_EQ(code_of(file), ErrorCode::kNotFound);
  EXPECT_EQ(file.error().path, at("none"));
  EXPECT_THAT(file.error().message, HasSubstr("No such file or directory"));
  EXPECT_EQ(code_of(files_.stat(at("none"))), ErrorCode::kNotFound);
  EXPECT_EQ(code_of(files_.list(at("none"))), ErrorCode::kNotFound);
  EXPECT_EQ(code_of(files_.create(at("none/a"))), ErrorCode::kNotFound);
  EXPECT_EQ(code_of(files_.make_folder(at("none/a"))), ErrorCode::kNotFound);
  EXPECT_EQ(code_of(files_.remove(at("none"))), ErrorCode::kNotFound);
  EXPECT_EQ(code_of(files_.sync_folder(at("none"))), ErrorCode::kNotFound);
  EXPECT_EQ(code_of(files_.free_bytes(at("none"))), ErrorCode::kNotFound);
  EXPECT_EQ(code_of(files_.rename(at("none"), at("b"), Replace::kAllow)), ErrorCode::kNotFound);
  EXPECT_EQ(code_of(files_.exchange(at("none"), at("b"))), ErrorCode::kNotFound);
}

TEST_P(AnyFileSystem, RefusesFoldersAsFiles) {
  const auto opened = files_.open_read(subject_.root);
  ASSERT_EQ(code_of(opened), ErrorCode::kInvalidArgument);
  EXPECT_THAT(opened.error().message, HasSubstr("Is a directory"));
  ASSERT_OK(write("a", "x"));
  EXPECT_EQ(code_of(files_.open_read(at("a/b"))), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code_of(files_.list(at("a"))), ErrorCode::kInvalidArgument);
}

TEST_P(AnyFileSystem, NeverCreatesOverAnExistingName) {
  ASSERT_OK(write("a", "old"));
  const auto again = files_.create(at("a"));
  ASSERT_EQ(code_of(again), ErrorCode::kAlreadyExists);
  EXPECT_EQ(again.error().path, at("a"));
  EXPECT_EQ(code_of(files_.make_folder(at("a"))), ErrorCode::kAlreadyExists);
  EXPECT_EQ(read("a"), "old");
}

TEST_P(AnyFileSystem, ListsSortedByName) {
  ASSERT_OK(write("b", "22"));
  ASSERT_OK(write("a", "1"));
  ASSERT_OK(files_.make_folder(at("c")));
  const auto entries = files_.list(subject_.root);
  ASSERT_OK(entries);
  ASSERT_EQ(entries->size(), 3U);
  EXPECT_EQ((*entries)[0].name, "a");
  EXPECT_EQ((*entries)[1].name, "b");
  EXPECT_EQ((*entries)[1].stat.bytes, 2U);
  EXPECT_EQ((*entries)[1].stat.kind, FileKind::kFile);
  EXPECT_EQ((*entries)[2].stat.kind, FileKind::kFolder);
}

TEST_P(AnyFileSystem, RemovesFilesAndEmptyFoldersOnly) {
  ASSERT_OK(files_.make_folder(at("d")));
  ASSERT_OK(write("d/a", "x"));
  EXPECT_EQ(code_of(files_.remove(at("d"))), ErrorCode::kInvalidArgument);
  EXPECT_OK(files_.remove(at("d/a")));
  EXPECT_OK(files_.remove(at("d")));
  EXPECT_TRUE(names_in(files_, subject_.root).empty());
}

TEST_P(AnyFileSystem, RenamesWithoutReplacing) {
  ASSERT_OK(write("a", "new"));
  ASSERT_OK(write("b", "old"));
  EXPECT_EQ(code_of(files_.rename(at("a"), at("b"), Replace::kRefuse)), ErrorCode::kAlreadyExists);
  EXPECT_EQ(read("b"), "old");
  EXPECT_OK(files_.rename(at("a"), at("c"), Replace::kRefuse));
  EXPECT_EQ(read("c"), "new");
  EXPECT_THAT(names_in(files_, subject_.root), ElementsAre("b", "c"));
}

TEST_P(AnyFileSystem, RenamesReplacingAFile) {
  ASSERT_OK(write("a", "new"));
  ASSERT_OK(write("b", "old"));
  EXPECT_OK(files_.rename(at("a"), at("b"), Replace::kAllow));
  EXPECT_EQ(read("b"), "new");
  EXPECT_THAT(names_in(files_, subject_.root), ElementsAre("b"));
}

TEST_P(AnyFileSystem, RenamesReplacingAFullFolder) {
  for (const std::string folder : {"new", "old"}) {
    ASSERT_OK(files_.make_folder(at(folder)));
    ASSERT_OK(write(folder + "/" + folder + ".txt", folder));
  }
  EXPECT_EQ(code_of(files_.rename(at("new"), at("old"), Replace::kRefuse)),
            ErrorCode::kAlreadyExists);
  EXPECT_OK(files_.rename(at("new"), at("old"), Replace::kAllow));
  EXPECT_THAT(names_in(files_, subject_.root), ElementsAre("old"));
  EXPECT_EQ(read("old/new.txt"), "new");
  EXPECT_THAT(names_in(files_, at("old")), ElementsAre("new.txt"));
}

TEST_P(AnyFileSystem, NeverReplacesAFolderByAFileOrTheOtherWayRound) {
  ASSERT_OK(files_.make_folder(at("d")));
  ASSERT_OK(write("d/a", "x"));
  ASSERT_OK(write("f", "y"));
  EXPECT_EQ(code_of(files_.rename(at("f"), at("d"), Replace::kAllow)), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code_of(files_.rename(at("d"), at("f"), Replace::kAllow)), ErrorCode::kInvalidArgument);
  EXPECT_EQ(read("d/a"), "x");
  EXPECT_EQ(read("f"), "y");
}

TEST_P(AnyFileSystem, SwapsTwoNames) {
  ASSERT_OK(write("a", "1"));
  ASSERT_OK(write("b", "2"));
  ASSERT_OK(files_.exchange(at("a"), at("b")));
  EXPECT_EQ(read("a"), "2");
  EXPECT_EQ(read("b"), "1");
}

TEST_P(AnyFileSystem, RemovesTreesOfManyLevels) {
  std::string path = "t";
  for (int i = 0; i < 50; ++i) {
    ASSERT_OK(files_.make_folder(at(path)));
    ASSERT_OK(write(path + "/file", "x"));
    path += "/d";
  }
  EXPECT_OK(remove_tree(files_, at("t")));
  EXPECT_TRUE(names_in(files_, subject_.root).empty());
  EXPECT_EQ(code_of(remove_tree(files_, at("t"))), ErrorCode::kNotFound);
}

TEST_P(AnyFileSystem, LocksExcludeEachOther) {
  auto first = files_.lock(at("l"), LockMode::kShared, false);
  ASSERT_OK(first);
  ASSERT_NE(*first, nullptr);
  auto second = files_.lock(at("l"), LockMode::kShared, false);
  ASSERT_OK(second);
  ASSERT_NE(*second, nullptr);
  EXPECT_EQ(*files_.lock(at("l"), LockMode::kExclusive, false), nullptr);
  first->reset();
  second->reset();
  auto alone = files_.lock(at("l"), LockMode::kExclusive, true);
  ASSERT_OK(alone);
  EXPECT_EQ(*files_.lock(at("l"), LockMode::kShared, false), nullptr);
  // Whoever comes once the holder has removed the file locks another one.
  ASSERT_OK(files_.remove(at("l")));
  EXPECT_NE(*files_.lock(at("l"), LockMode::kExclusive, true), nullptr);
}

TEST_P(AnyFileSystem, ReadsTextUpToALimit) {
  ASSERT_OK(write("a", "12345"));
  EXPECT_EQ(*read_text(files_, at("a"), 5), "12345");
  const auto text = read_text(files_, at("a"), 4);
  ASSERT_EQ(code_of(text), ErrorCode::kLimitExceeded);
  EXPECT_EQ(text.error().path, at("a"));
  ASSERT_OK(write("empty", ""));
  EXPECT_EQ(*read_text(files_, at("empty"), 0), "");
}

TEST_P(AnyFileSystem, TellsFreeSpace) {
  const auto free = files_.free_bytes(subject_.root);
  ASSERT_OK(free);
  EXPECT_GT(*free, 0U);
}

TEST(RealFileSystem, FollowsSymlinksWhenOpeningAndStating) {
  const TempFolder temp;
  FileSystem& files = real_file_system();
  ASSERT_OK(write_text(files, temp / "a", "x"));
  ASSERT_EQ(::symlink("a", (temp / "link").c_str()), 0);
  EXPECT_EQ(text_of(files, temp / "link"), "x");
  EXPECT_EQ(files.stat(temp / "link")->kind, FileKind::kFile);
  EXPECT_EQ(files.stat(temp / "link", false)->kind, FileKind::kSymlink);
}

TEST(RealFileSystem, RemoveTreeLeavesWhatSymlinksLeadTo) {
  const TempFolder temp;
  FileSystem& files = real_file_system();
  ASSERT_OK(files.make_folder(temp / "kept"));
  ASSERT_OK(write_text(files, temp / "kept/a", "x"));
  ASSERT_OK(files.make_folder(temp / "gone"));
  ASSERT_EQ(::symlink("../kept", (temp / "gone/link").c_str()), 0);
  ASSERT_EQ(::symlink("kept", (temp / "link").c_str()), 0);
  EXPECT_OK(remove_tree(files, temp / "gone"));
  EXPECT_OK(remove_tree(files, temp / "link"));
  EXPECT_EQ(text_of(files, temp / "kept/a"), "x");
  EXPECT_THAT(names_in(files, temp.path()), ElementsAre("kept"));
}

TEST(RealFileSystem, RefusesWhatIsNoRegularFileWithoutWaiting) {
  const TempFolder temp;
  ASSERT_EQ(::mkfifo((temp / "fifo").c_str(), 0600), 0);
  const auto fifo = real_file_system().open_read(temp / "fifo");
  ASSERT_EQ(code_of(fifo), ErrorCode::kInvalidArgument);
  EXPECT_THAT(fifo.error().message, HasSubstr("not a regular file"));
  EXPECT_EQ(code_of(real_file_system().open_read("/dev/null")), ErrorCode::kInvalidArgument);
}

TEST(RealFileSystem, RefusesPathsWithNul) {
  FileSystem& files = real_file_system();
  const std::string path("/tmp\0/x", 7);
  EXPECT_EQ(code_of(files.open_read(path)), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code_of(files.create(path)), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code_of(files.remove(path)), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code_of(files.rename(path, "x", Replace::kAllow)), ErrorCode::kInvalidArgument);
}

TEST(RealFileSystem, NamesAnUnreadableFileAndItsReason) {
  const TempFolder temp;
  ASSERT_OK(write_text(real_file_system(), temp / "a", "secret"));
  ASSERT_EQ(::chmod((temp / "a").c_str(), 0), 0);
  Result<std::unique_ptr<ReadFile>> opened = fail(ErrorCode::kInternal, "never tried");
  std::thread([&] {
    // As root every file is readable: this thread gives that right up, for itself alone.
    ::setfsuid(65534);
    opened = real_file_system().open_read(temp / "a");
  }).join();
  ASSERT_EQ(code_of(opened), ErrorCode::kPermission);
  EXPECT_EQ(opened.error().path, temp / "a");
  EXPECT_THAT(opened.error().message, HasSubstr("Permission denied"));
}

TEST(RealFileSystem, ReportsTheLimitOfFileSizeAsNoSpace) {
  const TempFolder temp;
  const auto file = real_file_system().create(temp / "a");
  ASSERT_OK(file);
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  const auto old_handler = ::signal(SIGXFSZ, SIG_IGN);
  const rlimit low{4096, old.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &low), 0);
  const Status written = (*file)->write_at(0, as_bytes(std::string(10000, 'x')));
  const Status reserved = (*file)->reserve(10000);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &old), 0);
  ::signal(SIGXFSZ, old_handler);
  EXPECT_EQ(code_of(written), ErrorCode::kNoSpace);
  EXPECT_EQ(code_of(reserved), ErrorCode::kNoSpace);
}

TEST(RealFileSystem, SaysHowMuchIsNeededAndFreeOnAFullDisk) {
  const TempFolder temp;
  const auto file = real_file_system().create(temp / "a");
  ASSERT_OK(file);
  const std::uint64_t too_much = *real_file_system().free_bytes(temp.path()) * 2 + (1ULL << 40);
  const Status reserved = (*file)->reserve(too_much);
  ASSERT_EQ(code_of(reserved), ErrorCode::kNoSpace);
  EXPECT_EQ(reserved.error().path, temp / "a");
  EXPECT_EQ(real_file_system().stat(temp / "a")->allocated_bytes, 0U);
}

// In memory alone: a fault here would empty the folder the test runs in.
TEST(MemoryFileSystem, RemovesNothingWithoutAPath) {
  const auto files = make_memory_file_system();
  files->put("a", "x");
  EXPECT_EQ(code_of(remove_tree(*files, "")), ErrorCode::kInvalidArgument);
  EXPECT_EQ(text_of(*files, "a"), "x");
}

TEST(MemoryFileSystem, SaysHowMuchIsNeededAndFreeOnAFullDisk) {
  const auto files = make_memory_file_system();
  files->set_free_bytes(10);
  const auto file = files->create("a");
  ASSERT_OK(file);
  EXPECT_OK((*file)->write_at(0, as_bytes("12345678")));
  const Status written = (*file)->write_at(8, as_bytes("1234"));
  ASSERT_EQ(code_of(written), ErrorCode::kNoSpace);
  EXPECT_EQ(written.error().path, "a");
  EXPECT_THAT(written.error().message, HasSubstr("No space left on device: 4 bytes"));
  EXPECT_THAT(written.error().message, HasSubstr("2 bytes (2 B) free"));
  EXPECT_EQ(code_of((*file)->reserve(11)), ErrorCode::kNoSpace);
  EXPECT_OK(files->remove("a"));
  EXPECT_EQ(*files->free_bytes(""), 10U);
}

TEST(MemoryFileSystem, LosesWhatWasNotSynced) {
  const auto files = make_memory_file_system();
  files->put("d/kept", "old");
  const auto a = files->create("d/a");
  ASSERT_OK(a);
  EXPECT_OK((*a)->write_at(0, as_bytes("data")));
  EXPECT_OK((*a)->sync());
  ASSERT_OK(files->create("d/b"));
  EXPECT_OK(files->sync_folder("d"));
  EXPECT_OK((*a)->write_at(0, as_bytes("DATA")));
  ASSERT_OK(write_text(*files, "d/nameless", "synced, but its folder was not"));
  EXPECT_OK(files->rename("d/kept", "d/renamed", Replace::kRefuse));
  files->lose_power();
  EXPECT_THAT(names_in(*files, "d"), ElementsAre("a", "b", "kept"));
  EXPECT_EQ(text_of(*files, "d/a"), "data");
  EXPECT_EQ(text_of(*files, "d/b"), "");
  EXPECT_EQ(text_of(*files, "d/kept"), "old");
}

TEST(RealLocks, BelongToTheProcessThatTookThemAlone) {
  const TempFolder folder;
  FileSystem& files = real_file_system();
  auto held = files.lock(folder / "l", LockMode::kExclusive, false);
  ASSERT_OK(held);
  // A forked process (a worker that loads data) that ends does not let go of them.
  const pid_t ending = ::fork();
  if (ending == 0) {
    held->reset();
    ::_exit(0);
  }
  ASSERT_EQ(::waitpid(ending, nullptr, 0), ending);
  EXPECT_EQ(*files.lock(folder / "l", LockMode::kExclusive, false), nullptr);
  // And one that lives on does not keep them.
  const pid_t living = ::fork();
  if (living == 0) {
    ::pause();
    ::_exit(0);
  }
  held->reset();
  EXPECT_NE(*files.lock(folder / "l", LockMode::kExclusive, false), nullptr);
  ::kill(living, SIGKILL);
  ::waitpid(living, nullptr, 0);
}

TEST(FaultFileSystem, FailsTheCallItWasTold) {
  const auto memory = make_memory_file_system();
  const auto files = make_fault_file_system(*memory);
  files->fail_at(1, Fault::kIoError);
  const auto file = files->create("a");
  ASSERT_OK(file);
  const Status written = (*file)->write_at(0, as_bytes("abcd"));
  ASSERT_EQ(code_of(written), ErrorCode::kIo);
  EXPECT_EQ(written.error().path, "a");
  EXPECT_OK((*file)->write_at(0, as_bytes("abcd")));
  EXPECT_EQ(files->call_count(), 3U);
  files->fail_at(3, Fault::kNoSpace, true);
  EXPECT_EQ(code_of((*file)->write_at(4, as_bytes("efgh"))), ErrorCode::kNoSpace);
  EXPECT_EQ(text_of(*memory, "a"), "abcdef");
  EXPECT_EQ(code_of((*file)->sync()), ErrorCode::kNoSpace);
}

TEST(FaultFileSystem, CountsTheRestOfAShortTransferAsAnotherCall) {
  const auto memory = make_memory_file_system();
  memory->put("a", "0123456789");
  const auto files = make_fault_file_system(*memory);
  const auto file = files->open_read("a");
  ASSERT_OK(file);
  files->fail_at(1, Fault::kShortTransfer);
  std::string out(10, ' ');
  EXPECT_OK((*file)->read_at(0, std::as_writable_bytes(std::span(out))));
  EXPECT_EQ(out, "0123456789");
  EXPECT_EQ(files->call_count(), 3U);
}

TEST(TransferAll, ContinuesShortAndInterruptedSteps) {
  std::vector<std::pair<std::size_t, std::size_t>> steps;
  const TransferEnd end = transfer_all(10, [&](std::size_t moved, std::size_t count) -> ssize_t {
    steps.emplace_back(moved, count);
    if (steps.size() == 2) return errno = EINTR, -1;
    return 4 > count ? static_cast<ssize_t>(count) : 4;
  });
  EXPECT_EQ(end.moved_bytes, 10U);
  EXPECT_EQ(end.error_number, 0);
  EXPECT_THAT(steps, ElementsAre(testing::Pair(0, 10), testing::Pair(4, 6), testing::Pair(4, 6),
                                 testing::Pair(8, 2)));
}

TEST(TransferAll, StopsAtTheEndAndAtErrors) {
  const TransferEnd ended = transfer_all(
      10, [](std::size_t moved, std::size_t) -> ssize_t { return moved == 0 ? 3 : 0; });
  EXPECT_EQ(ended.moved_bytes, 3U);
  EXPECT_EQ(ended.error_number, 0);
  const TransferEnd failed = transfer_all(10, [](std::size_t moved, std::size_t) -> ssize_t {
    return moved == 0 ? 3 : (errno = ENOSPC, -1);
  });
  EXPECT_EQ(failed.moved_bytes, 3U);
  EXPECT_EQ(failed.error_number, ENOSPC);
}

TEST(Paths, AreJoinedAndTakenApart) {
  EXPECT_EQ(join_path("a", "b"), "a/b");
  EXPECT_EQ(join_path("a/", "b"), "a/b");
  EXPECT_EQ(join_path("", "b"), "b");
  EXPECT_EQ(join_path("/", "b"), "/b");
  EXPECT_EQ(parent_path("a/b"), "a");
  EXPECT_EQ(parent_path("a/b/"), "a");
  EXPECT_EQ(parent_path("b"), "");
  EXPECT_EQ(parent_path("/b"), "/");
  EXPECT_EQ(last_part("a/b//"), "b");
  EXPECT_EQ(last_part("b"), "b");
}

}  // namespace
}  // namespace kilter::io
