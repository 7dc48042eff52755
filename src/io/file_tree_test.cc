#include "io/file_tree.h"

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/io_test_support.h"

namespace kilter::io {
namespace {

using testing::ElementsAre;

std::vector<std::string> paths_of(const std::vector<FileTreeEntry>& entries) {
  std::vector<std::string> paths;
  for (const FileTreeEntry& entry : entries) paths.push_back(entry.path);
  return paths;
}

TEST(FileTree, ListsAllFilesSortedWithTheirSizes) {
  const auto files = make_memory_file_system();
  for (const std::string name : {"m/z", "m/sub/deep/x", "m/sub/b", "m/a", "elsewhere"})
    files->put(name, name);
  const auto tree = list_file_tree(*files, "m");
  ASSERT_OK(tree);
  EXPECT_THAT(paths_of(tree->files), ElementsAre("a", "sub/b", "sub/deep/x", "z"));
  EXPECT_EQ(tree->files[2].stat.bytes, 12U);
  ASSERT_NE(tree->find("sub/b"), nullptr);
  EXPECT_EQ(tree->find("sub/b")->path, "sub/b");
  EXPECT_EQ(tree->find("sub"), nullptr);
  EXPECT_EQ(tree->find("zz"), nullptr);
}

TEST(FileTree, TakesAHuggingFaceCacheFolder) {
  const TempFolder temp;
  FileSystem& files = real_file_system();
  for (const std::string folder : {"blobs", "snapshots", "snapshots/x"})
    ASSERT_OK(files.make_folder(temp / folder));
  ASSERT_OK(write_text(files, temp / "blobs/abc", "weights"));
  ASSERT_EQ(::symlink("../../blobs/abc", (temp / "snapshots/x/model.safetensors").c_str()), 0);
  const auto tree = list_file_tree(files, temp / "snapshots/x");
  ASSERT_OK(tree);
  ASSERT_THAT(paths_of(tree->files), ElementsAre("model.safetensors"));
  EXPECT_TRUE(tree->files[0].symlink);
  EXPECT_EQ(tree->files[0].stat.bytes, 7U);
  EXPECT_EQ(text_of(files, temp / "snapshots/x/model.safetensors"), "weights");
}

TEST(FileTree, ReportsWhatIsNoFileAndEntersNoSymlink) {
  const TempFolder temp;
  FileSystem& files = real_file_system();
  ASSERT_OK(files.make_folder(temp / "d"));
  ASSERT_OK(write_text(files, temp / "d/a", "x"));
  ASSERT_EQ(::symlink("..", (temp / "d/up").c_str()), 0);
  ASSERT_EQ(::symlink("nowhere", (temp / "broken").c_str()), 0);
  ASSERT_EQ(::mkfifo((temp / "fifo").c_str(), 0600), 0);
  const auto tree = list_file_tree(files, temp.path());
  ASSERT_OK(tree);
  EXPECT_THAT(paths_of(tree->files), ElementsAre("d/a"));
  ASSERT_THAT(paths_of(tree->others), ElementsAre("broken", "d/up", "fifo"));
  EXPECT_EQ(tree->others[0].stat.kind, FileKind::kSymlink);
  EXPECT_EQ(tree->others[1].stat.kind, FileKind::kFolder);
  EXPECT_EQ(tree->others[2].stat.kind, FileKind::kOther);
}

TEST(FileTree, StopsAtItsLimits) {
  const auto files = make_memory_file_system();
  for (int i = 0; i < 10; ++i) files->put("m/" + std::to_string(i), "");
  EXPECT_OK(list_file_tree(*files, "m", {.count_max = 10}));
  const auto many = list_file_tree(*files, "m", {.count_max = 9});
  ASSERT_EQ(code_of(many), ErrorCode::kLimitExceeded);
  EXPECT_EQ(many.error().path, "m/9");
  files->put("deep/1/2/3", "");
  EXPECT_OK(list_file_tree(*files, "deep", {.depth_max = 3}));
  EXPECT_EQ(code_of(list_file_tree(*files, "deep", {.depth_max = 2})), ErrorCode::kLimitExceeded);
}

TEST(FileTree, GoesOnAfterAFolderThatCannotBeListed) {
  const auto memory = make_memory_file_system();
  memory->put("m/a/1", "");
  memory->put("m/b/2", "");
  const auto files = make_fault_file_system(*memory);
  files->fail_at(1, Fault::kIoError);
  const auto tree = list_file_tree(*files, "m");
  ASSERT_OK(tree);
  EXPECT_EQ(tree->files.size(), 1U);
  ASSERT_EQ(tree->errors.size(), 1U);
  EXPECT_EQ(tree->errors[0].code, ErrorCode::kIo);
}

TEST(FileTree, NamesAMissingOrWrongRoot) {
  const auto files = make_memory_file_system();
  files->put("a", "");
  EXPECT_EQ(code_of(list_file_tree(*files, "none")), ErrorCode::kNotFound);
  EXPECT_EQ(code_of(list_file_tree(*files, "a")), ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace kilter::io
