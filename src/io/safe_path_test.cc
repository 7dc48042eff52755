#include "io/safe_path.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include "io/beneath.h"
#include "io/io_test_support.h"

namespace kilter::io {
namespace {

using testing::HasSubstr;

TEST(CheckRelativeName, AcceptsNamesThatStay) {
  for (const std::string_view name :
       {"a", "model.safetensors", "model-00001-of-00002.safetensors", "a/b/c.bin", ".hidden", "..a",
        "a..b", "...a", "con1", "com", "com10.txt", "nulls", "äöü/模型.bin", "a b", " a", "ab:c",
        "archive/data/0", "1:2"})
    EXPECT_TRUE(check_relative_name(name).has_value()) << name;
}

TEST(CheckRelativeName, RefusesNamesThatLeadOutOrMeanSomethingElse) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"", "empty"},
      {"/etc/passwd", "absolute"},
      {"//host/share", "UNC"},
      {"\\\\host\\share", "UNC"},
      {"..", "\"..\""},
      {"../a", "\"..\""},
      {"a/../../b", "\"..\""},
      {"a/..", "\"..\""},
      {".", "\".\""},
      {"a/./b", "\".\""},
      {"a//b", "empty part"},
      {"a/", "empty part"},
      {"C:\\x", "drive"},
      {"c:x", "drive"},
      {"z:/x", "drive"},
      {"a\\b", "backslash"},
      {"..\\a", "backslash"},
      {std::string_view("a\0b", 3), "NUL"},
      {"a\nb", "control"},
      {"a\x7f", "control"},
      {"a\x1b[2J", "control"},
      {"a.", "dot"},
      {"...", "dot"},
      {"a./b", "dot"},
      {"a ", "space"},
      {"a /b", "space"},
      {"con", "device"},
      {"CON", "device"},
      {"x/Aux.txt", "device"},
      {"nul.tar.gz", "device"},
      {"COM1", "device"},
      {"lpt9.x", "device"},
      {"com\xc2\xb9", "device"},
      {"NUL .txt", "device"},
      {"nul:stream", "device"},
      {"CONIN$", "device"},
  };
  for (const auto& [name, reason] : cases) {
    const Status checked = check_relative_name(name);
    ASSERT_EQ(code_of(checked), ErrorCode::kUnsafe) << name;
    EXPECT_THAT(checked.error().message, HasSubstr(reason)) << name;
    EXPECT_THAT(checked.error().found, HasSubstr(name));
  }
}

TEST(CheckRelativeName, RefusesNamesTooLongForAnyFileSystem) {
  EXPECT_OK(check_relative_name(std::string(255, 'a')));
  EXPECT_EQ(code_of(check_relative_name(std::string(256, 'a'))), ErrorCode::kUnsafe);
  std::string deep;
  while (deep.size() < 5000) deep += "a/";
  EXPECT_EQ(code_of(check_relative_name(deep + "a")), ErrorCode::kUnsafe);
}

/// A folder as an attacker would lay it out, in the real and in the memory file system.
class OpenBeneath : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    put("outside/secret", "secret");
    put("root/a", "a");
    put("root/d/b", "b");
    link("root/d/up", "../a");
    link("root/inner", "d");
    link("root/chain", "inner/up");
    link("root/out", "../outside/secret");
    link("root/d/out", "../../outside/secret");
    link("root/folder_out", "../outside");
    link("root/round_trip", "../root/a");
    link("root/absolute", GetParam() ? temp_ / "root/a" : "/root/a");
    link("root/loop", "loop");
    link("root/broken", "nowhere");
  }

  void put(const std::string& name, std::string_view text) {
    if (!GetParam()) return memory_->put(name, text);
    std::string folder = parent_path(temp_ / name);
    std::vector<std::string> missing;
    for (; !real_file_system().stat(folder); folder = parent_path(folder))
      missing.push_back(folder);
    for (auto it = missing.rbegin(); it != missing.rend(); ++it)
      ASSERT_OK(real_file_system().make_folder(*it));
    ASSERT_OK(write_text(real_file_system(), temp_ / name, text));
  }
  void link(const std::string& name, const std::string& target) {
    if (!GetParam()) return memory_->put_symlink(name, target);
    ASSERT_EQ(::symlink(target.c_str(), (temp_ / name).c_str()), 0);
  }

  /// The text, or the code's name.
  std::string open(std::string_view name) {
    FileSystem& files = GetParam() ? real_file_system() : *memory_;
    const auto file = open_beneath(files, GetParam() ? temp_ / "root" : "root", name);
    if (!file) return std::string(error_row(file.error().code).name);
    std::string text((*file)->bytes(), ' ');
    EXPECT_OK((*file)->read_at(0, std::as_writable_bytes(std::span(text))));
    return text;
  }

  TempFolder temp_;
  std::unique_ptr<MemoryFileSystem> memory_ = make_memory_file_system();
};

INSTANTIATE_TEST_SUITE_P(Both, OpenBeneath, testing::Bool(), [](const auto& row) {
  return std::string(row.param ? "Real" : "Memory");
});

TEST_P(OpenBeneath, FollowsSymlinksThatStayInside) {
  EXPECT_EQ(open("a"), "a");
  EXPECT_EQ(open("d/b"), "b");
  EXPECT_EQ(open("d/up"), "a");
  EXPECT_EQ(open("inner/b"), "b");
  EXPECT_EQ(open("chain"), "a");
}

TEST_P(OpenBeneath, RefusesSymlinksThatLeadOut) {
  for (const std::string_view name : {"out", "d/out", "inner/out", "folder_out/secret",
                                      "round_trip", "absolute", "loop", "../outside/secret"})
    EXPECT_EQ(open(name), "unsafe") << name;
}

TEST_P(OpenBeneath, NamesWhatIsMissing) {
  EXPECT_EQ(open("none"), "not_found");
  EXPECT_EQ(open("broken"), "not_found");
  EXPECT_EQ(open("d/none/x"), "not_found");
  EXPECT_EQ(open("a/b"), "invalid_argument");
  EXPECT_EQ(open("d"), "invalid_argument");
}

using OpenBeneathReal = OpenBeneath;
INSTANTIATE_TEST_SUITE_P(Only, OpenBeneathReal, testing::Values(true));

TEST_P(OpenBeneathReal, TheWalkAgreesWithTheKernel) {
  const UniqueFd root(::open((temp_ / "root").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  ASSERT_TRUE(static_cast<bool>(root));
  for (const std::string name :
       {"a", "d/b", "d/up", "inner/b", "chain", "out", "d/out", "inner/out", "folder_out/secret",
        "round_trip", "absolute", "loop", "none", "broken", "d/none/x", "a/b"}) {
    const BeneathResult kernel = open_beneath_kernel(root.get(), name, O_RDONLY | O_CLOEXEC);
    if (kernel.error_number == ENOSYS || kernel.error_number == EPERM)
      GTEST_SKIP() << "openat2 is refused here";
    const BeneathResult walk = open_beneath_walk(root.get(), name, O_RDONLY | O_CLOEXEC);
    EXPECT_EQ(walk.error_number, kernel.error_number) << name;
    EXPECT_EQ(static_cast<bool>(walk.fd), static_cast<bool>(kernel.fd)) << name;
  }
}

TEST(OpenBeneathByDefault, RefusesEverySymlink) {
  const auto memory = make_memory_file_system();
  memory->put("root/d/a", "a");
  memory->put_symlink("root/link", "d");
  EXPECT_EQ(code_of(memory->FileSystem::open_read_beneath("root", "link/a")), ErrorCode::kUnsafe);
  EXPECT_OK(memory->FileSystem::open_read_beneath("root", "d/a"));
  EXPECT_EQ(code_of(memory->FileSystem::open_read_beneath("root", "d/b")), ErrorCode::kNotFound);
}

}  // namespace
}  // namespace kilter::io
