#include "store/mount/mount_tree.h"

#include <gtest/gtest.h>

#include <thread>

#include "base/try.h"
#include "store/torture/rounds.h"

namespace kilter::store {
namespace {

constexpr std::uint64_t kMountedTensorBytes = 1 << 20;

/// A store in memory and its tree; references are looked at with every call.
struct Mounted {
  Mounted() : memory(io::make_memory_file_system()) {
    store = *Store::create(make_folder_place(*memory, "store"));
    save(1);
    save(2);
    MountOptions options;
    options.look_again = std::chrono::milliseconds(0);
    options.thread_count = 2;
    // As another process: what is saved later must be seen nevertheless.
    tree = *MountTree::make(*Store::open(make_folder_place(*memory, "store")), options);
  }
  SaveOutcome save(std::uint64_t round, const std::string& branch = "main") const {
    return *save_round(*store, round, kMountedTensorBytes, branch);
  }
  Result<MountEntry> walk(std::string_view path) const {
    MountEntry entry;
    entry.inode = MountTree::kRoot;
    while (!path.empty()) {
      const std::string_view name = path.substr(0, path.find('/'));
      path.remove_prefix(std::min(path.size(), name.size() + 1));
      KILTER_ASSIGN(entry, tree->look_up(entry.inode, name));
    }
    return entry;
  }
  std::vector<std::string> names(std::string_view path) const {
    std::vector<std::string> out;
    const auto list = tree->list(walk(path)->inode);
    for (const MountListed& listed : list.value())
      out.push_back(listed.name + (listed.folder ? "/" : ""));
    return out;
  }
  std::string text(std::string_view path, std::size_t step_bytes = 100'000) const {
    const auto file = *tree->open(walk(path)->inode);
    std::string out(file->bytes(), '\0');
    for (std::size_t at = 0; at < out.size(); at += step_bytes) {
      const std::span<char> piece(out.data() + at, std::min(step_bytes, out.size() - at));
      EXPECT_EQ(file->read(at, std::as_writable_bytes(piece)), piece.size());
    }
    return out;
  }

  std::unique_ptr<io::MemoryFileSystem> memory;
  std::shared_ptr<Store> store;
  std::unique_ptr<MountTree> tree;
};

using Names = std::vector<std::string>;

TEST(MountTree, ShowsBranchesTagsStepsAndCommits) {
  const Mounted mounted;
  EXPECT_EQ(mounted.names(""), (Names{"branches/", "commits/", "steps/", "tags/"}));
  EXPECT_EQ(mounted.names("branches"), Names{"main/"});
  EXPECT_EQ(mounted.names("steps"), (Names{"00000001/", "00000002/"}));
  EXPECT_EQ(mounted.names("tags"), Names{});
  EXPECT_EQ(mounted.names("commits").size(), 2U);
  EXPECT_EQ(mounted.names("branches/main"), (Names{"config.json", "weights/"}));
  EXPECT_EQ(mounted.names("steps/00000001/weights"), Names{"model.safetensors"});
  EXPECT_EQ(mounted.names("steps/1/weights"), Names{"model.safetensors"});
}

TEST(MountTree, ReadsTheBytesThatWereSaved) {
  const Mounted mounted;
  for (const auto& [path, bytes] : round_files(2, kMountedTensorBytes))
    EXPECT_EQ(mounted.text("branches/main/" + path), bytes) << path;
  for (const auto& [path, bytes] : round_files(1, kMountedTensorBytes))
    EXPECT_EQ(mounted.text("steps/00000001/" + path, 7777), bytes) << path;
}

TEST(MountTree, EndsReadsAtTheEndOfTheFile) {
  const Mounted mounted;
  const auto file = *mounted.tree->open(mounted.walk("branches/main/config.json")->inode);
  std::vector<std::byte> out(100);
  EXPECT_EQ(file->read(0, out), file->bytes());
  EXPECT_EQ(file->read(5, out), file->bytes() - 5);
  EXPECT_EQ(file->read(file->bytes(), out), 0U);
  EXPECT_EQ(file->read(~std::uint64_t{0}, out), 0U);
}

TEST(MountTree, ShowsANewCommitAndKeepsOpenFiles) {
  const Mounted mounted;
  const auto before = *mounted.walk("branches/main/config.json");
  const auto file = *mounted.tree->open(before.inode);
  mounted.save(3);
  EXPECT_EQ(mounted.text("branches/main/config.json"), "{\"round\": 3}\n");
  EXPECT_NE(mounted.walk("branches/main/config.json")->inode, before.inode);
  EXPECT_EQ(mounted.names("steps").size(), 3U);
  std::string old(file->bytes(), '\0');
  ASSERT_TRUE(file->read(0, std::as_writable_bytes(std::span(old))));
  EXPECT_EQ(old, "{\"round\": 2}\n");
}

TEST(MountTree, GivesAFileOneInodeWhereverItIsNamed) {
  const Mounted mounted;
  const std::string commit = to_hex(mounted.save(3).commit).substr(0, 12);
  const auto by_branch = *mounted.walk("branches/main/weights/model.safetensors");
  const auto by_commit = *mounted.walk("commits/" + commit + "/weights/model.safetensors");
  EXPECT_EQ(by_branch.inode, by_commit.inode);
  EXPECT_LT(by_branch.name_seconds, 10);
  EXPECT_GT(by_commit.name_seconds, 1000);
  EXPECT_GT(by_branch.entry_seconds, 1000) << "a file never changes";
  EXPECT_NE(mounted.walk("branches/main")->inode, mounted.walk("commits/" + commit)->inode);
}

TEST(MountTree, PutsNamesWithSlashesIntoFolders) {
  const Mounted mounted;
  mounted.save(5, "sweep/lr/high");
  mounted.save(6, "sweep/low");
  EXPECT_EQ(mounted.names("branches"), (Names{"main/", "sweep/"}));
  EXPECT_EQ(mounted.names("branches/sweep"), (Names{"low/", "lr/"}));
  EXPECT_EQ(mounted.text("branches/sweep/lr/high/config.json"), "{\"round\": 5}\n");
  EXPECT_EQ(mounted.names("steps").size(), 2U) << "of the default branch alone";
}

TEST(MountTree, ShowsASingleFileAsAFolderWithOne) {
  const Mounted mounted;
  mounted.memory->put("model.bin", "some bytes");
  SaveRequest request;
  request.source = {mounted.memory.get(), "model.bin", {}};
  request.branch = "single";
  ASSERT_TRUE(save_tree(*mounted.store, request).has_value());
  EXPECT_EQ(mounted.names("branches/single"), Names{"model.bin"});
  EXPECT_EQ(mounted.text("branches/single/model.bin"), "some bytes");
}

TEST(MountTree, SaysWhatIsNotThere) {
  const Mounted mounted;
  for (const char* path :
       {"x", "branches/x", "branches/main/x", "steps/7", "steps/1x", "steps/000000001",
        "commits/0123456789ab", "branches/main/weights/model.safetensors/x"}) {
    const auto entry = mounted.walk(path);
    ASSERT_FALSE(entry.has_value()) << path;
    const bool below_file = entry.error().code == ErrorCode::kInvalidArgument;
    EXPECT_TRUE(below_file || entry.error().code == ErrorCode::kNotFound) << path;
  }
}

TEST(MountTree, SaysWhichTensorOfWhichFileIsDamaged) {
  const Mounted mounted;
  const auto packs = *mounted.store->place().list("packs");
  for (const PlaceEntry& pack : packs) {
    std::string bytes = *io::read_text(*mounted.memory, "store/" + pack.name, 1 << 30);
    for (std::size_t at = 1000; at + 100'000 < bytes.size(); at += 10'000)
      bytes[at] = static_cast<char>(bytes[at] ^ 1);
    mounted.memory->put("store/" + pack.name, bytes);
  }
  const auto entry = mounted.walk("branches/main/weights/model.safetensors");
  ASSERT_TRUE(entry.has_value());
  std::vector<std::byte> out(entry->bytes);
  const auto read = (*mounted.tree->open(entry->inode))->read(0, out);
  ASSERT_FALSE(read.has_value());
  EXPECT_EQ(read.error().path, "weights/model.safetensors");
  EXPECT_EQ(read.error().code, ErrorCode::kCorrupt);
  EXPECT_FALSE(read.error().tensor.empty());
  EXPECT_NE(read.error().message.find(".pack at offset"), std::string::npos);
}

TEST(MountTree, ForgetsInodesThatNobodyHolds) {
  const Mounted mounted;
  const auto folder = *mounted.walk("branches");
  ASSERT_TRUE(mounted.walk("branches"));
  EXPECT_EQ(mounted.tree->inode_count(), 1U);
  mounted.tree->forget(folder.inode, 1);
  EXPECT_EQ(mounted.tree->inode_count(), 1U);
  mounted.tree->forget(folder.inode, 1);
  EXPECT_EQ(mounted.tree->inode_count(), 0U);
  EXPECT_FALSE(mounted.tree->stat(folder.inode).has_value());
}

TEST(MountTree, ServesManyThreads) {
  const Mounted mounted;
  std::vector<std::thread> threads;
  for (std::uint64_t i = 0; i < 8; ++i)
    threads.emplace_back([&, i] {
      const std::uint64_t round = 1 + i % 2;
      const auto wanted = round_files(round, kMountedTensorBytes);
      const std::string path = "weights/model.safetensors";
      EXPECT_EQ(mounted.text("steps/0000000" + std::to_string(round) + "/" + path, 50'000 + i),
                wanted.at(path));
    });
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace kilter::store
