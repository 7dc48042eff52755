// What need not be read again, and what must be.
#include "store/write/seen_files.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <fstream>

#include "io/io_test_support.h"
#include "store/store_test_support.h"

namespace kilter::store::test {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

io::FileStat stat_of(std::uint64_t inode, std::int64_t changed = 100 * kSecond) {
  io::FileStat stat;
  stat.bytes = 4096;
  stat.device = 1;
  stat.inode = inode;
  stat.modified_unix_ns = 90 * kSecond;
  stat.changed_unix_ns = changed;
  return stat;
}

SeenFile seen_as(std::uint8_t tree, std::uint32_t file) {
  SeenFile seen;
  seen.tree.fill(std::byte{tree});
  seen.file = file;
  return seen;
}

class SeenFilesOnDisk : public testing::Test {
 protected:
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(scratch_ / name, std::ios::binary) << text;
  }
  io::TempFolder scratch_;
  const std::string folder_ = scratch_.path();
};

TEST_F(SeenFilesOnDisk, FindsAFileUntilAnythingOfItChanges) {
  SeenFiles seen = SeenFiles::load(folder_, "store");
  seen.add(stat_of(7), seen_as(3, 5), 200 * kSecond);
  ASSERT_TRUE(seen.save());
  const SeenFiles again = SeenFiles::load(folder_, "store");
  const auto found = again.find(stat_of(7));
  ASSERT_TRUE(found);
  EXPECT_EQ(found->tree, seen_as(3, 5).tree);
  EXPECT_EQ(found->file, 5U);
  EXPECT_FALSE(again.find(stat_of(8)));
  for (auto change : {+[](io::FileStat& s) { ++s.bytes; }, +[](io::FileStat& s) { ++s.device; },
                      +[](io::FileStat& s) { ++s.modified_unix_ns; },
                      +[](io::FileStat& s) { ++s.changed_unix_ns; }}) {
    io::FileStat other = stat_of(7);
    change(other);
    EXPECT_FALSE(again.find(other));
  }
  EXPECT_EQ(SeenFiles::load(folder_, "another store").size(), 0U);
}

TEST_F(SeenFilesOnDisk, DoesNotTrustTimesThatMayComeAgain) {
  SeenFiles seen;
  seen.add(stat_of(7, 100 * kSecond), seen_as(1, 0), 101 * kSecond);
  EXPECT_FALSE(seen.find(stat_of(7)));
  io::FileStat unknown = stat_of(0);
  seen.add(unknown, seen_as(1, 0), 500 * kSecond);
  EXPECT_FALSE(seen.find(unknown));
}

TEST_F(SeenFilesOnDisk, TakesADamagedCacheForNone) {
  SeenFiles seen = SeenFiles::load(folder_, "store");
  for (std::uint64_t i = 1; i <= 3; ++i) seen.add(stat_of(i), seen_as(1, 0), 200 * kSecond);
  ASSERT_TRUE(seen.save());
  const auto names = all_names(io::real_file_system(), folder_);
  ASSERT_EQ(names.size(), 1U);
  std::string text;
  {
    std::ifstream in(names[0], std::ios::binary);
    text.assign(std::istreambuf_iterator<char>(in), {});
  }
  for (std::size_t at = 0; at < text.size(); ++at) {
    std::string changed = text;
    changed[at] = static_cast<char>(changed[at] ^ 4);
    std::ofstream(names[0], std::ios::binary | std::ios::trunc) << changed;
    ASSERT_EQ(SeenFiles::load(folder_, "store").size(), 0U) << "byte " << at;
    std::ofstream(names[0], std::ios::binary | std::ios::trunc) << text.substr(0, at);
    ASSERT_EQ(SeenFiles::load(folder_, "store").size(), 0U) << "cut at " << at;
  }
}

TEST_F(SeenFilesOnDisk, ForgetsTheOldestBeyondItsBound) {
  SeenFiles seen = SeenFiles::load(folder_, "store");
  for (std::uint64_t i = 1; i <= SeenFiles::kEntriesMax + 10; ++i)
    seen.add(stat_of(i), seen_as(1, 0), 200 * kSecond);
  ASSERT_TRUE(seen.save());
  const SeenFiles again = SeenFiles::load(folder_, "store");
  EXPECT_EQ(again.size(), SeenFiles::kEntriesMax);
  EXPECT_FALSE(again.find(stat_of(10)));
  EXPECT_TRUE(again.find(stat_of(11)));
}

TEST_F(SeenFilesOnDisk, ForgetsTheOldestStoresBeyondItsBound) {
  for (std::size_t i = 0; i < SeenFiles::kStoresMax + 5; ++i) {
    SeenFiles seen = SeenFiles::load(folder_, std::to_string(i));
    seen.add(stat_of(7), seen_as(1, 0), 200 * kSecond);
    ASSERT_TRUE(seen.save());
  }
  EXPECT_EQ(all_names(io::real_file_system(), folder_).size(), SeenFiles::kStoresMax);
  EXPECT_EQ(SeenFiles::load(folder_, std::to_string(SeenFiles::kStoresMax + 4)).size(), 1U);
}

// The times of change are the kernel's own: such files are made old by saying so to add().
TEST_F(SeenFilesOnDisk, ASaveDoesNotReadWhatTheStoreHasOfAnUnchangedFile) {
  write("a.safetensors", safetensors_of({{"x", weights(50'000, 1)}}));
  write("b.safetensors", safetensors_of({{"y", weights(50'000, 2)}}));
  const auto memory = io::make_memory_file_system();
  const auto store = make_store(*memory);
  SaveRequest request;
  request.source = {&io::real_file_system(), folder_, {}};
  request.author = "Ada";
  const auto first = save_tree(*store, request);
  STORE_OK(first);
  SeenFiles seen;
  for (std::uint32_t i = 0; i < 2; ++i) {
    const auto stat =
        io::real_file_system().stat(scratch_ / (i == 0 ? "a.safetensors" : "b.safetensors"));
    ASSERT_TRUE(stat);
    seen.add(*stat, {first->content.tree, i}, stat->changed_unix_ns + 10 * kSecond);
  }
  request.seen = &seen;
  const auto second = save_tree(*store, request);
  STORE_OK(second);
  EXPECT_EQ(second->totals.unread_bytes, 400'000U);
  EXPECT_EQ(second->content.tree, first->content.tree);

  write("b.safetensors", safetensors_of({{"y", weights(50'000, 3)}}));
  const auto third = save_tree(*store, request);
  STORE_OK(third);
  EXPECT_EQ(third->totals.unread_bytes, 200'000U);
  const auto back = files_of(reopen(*memory), third->commit);
  STORE_OK(back);
  EXPECT_EQ(back->at("b.safetensors"), safetensors_of({{"y", weights(50'000, 3)}}));

  // Another store has none of it.
  const auto other = make_store(*memory, "other");
  const auto there = save_tree(*other, request);
  STORE_OK(there);
  EXPECT_EQ(there->totals.unread_bytes, 0U);
}

/// Writes a file anew, of the same size, as soon as a save has read some of it.
class Meddler : public Progress {
 public:
  explicit Meddler(std::string path) : path_(std::move(path)) {}
  void begin(std::string_view, std::uint64_t) override {}
  void update(std::uint64_t) override {
    std::fstream file(path_, std::ios::binary | std::ios::in | std::ios::out);
    file << safetensors_of({{"x", weights(50'000, 9)}});
  }
  void end() override {}

 private:
  std::string path_;
};

TEST_F(SeenFilesOnDisk, ASaveRefusesAFileThatChangesMeanwhile) {
  write("a.safetensors", safetensors_of({{"x", weights(50'000, 1)}}));
  // The clock of files ticks every few milliseconds: what follows must be another tick.
  const timespec long_ago[2] = {{.tv_sec = 1'000'000, .tv_nsec = 0},
                                {.tv_sec = 1'000'000, .tv_nsec = 0}};
  ASSERT_EQ(::utimensat(AT_FDCWD, (scratch_ / "a.safetensors").c_str(), long_ago, 0), 0);
  const auto memory = io::make_memory_file_system();
  const auto store = make_store(*memory);
  Meddler meddler(scratch_ / "a.safetensors");
  SaveRequest request;
  request.source = {&io::real_file_system(), folder_, {}};
  request.author = "Ada";
  request.context.progress = &meddler;
  const auto saved = save_tree(*store, request);
  ASSERT_FALSE(saved);
  EXPECT_THAT(saved.error().text(), testing::HasSubstr("changed while it was saved"));
  EXPECT_THAT(saved.error().text(), testing::HasSubstr("a.safetensors"));
}

}  // namespace
}  // namespace kilter::store::test
