#include "io/append_writer.h"

#include <gmock/gmock.h>

#include <atomic>
#include <random>

#include "base/raw_bytes.h"
#include "io/buffer_pool.h"
#include "io/io_test_support.h"

namespace kilter::io {
namespace {

/// A payload that counts itself while somebody holds it.
struct Lent {
  Lent(std::size_t size, std::mt19937_64& random, std::atomic<int>& held)
      : bytes(size), count(held) {
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
    ++count;
  }
  Lent(const Lent&) = delete;
  Lent& operator=(const Lent&) = delete;
  ~Lent() {
    std::ranges::fill(bytes, std::byte{0xEE});  // a write that comes too late shows
    --count;
  }
  RawBytes bytes;
  std::atomic<int>& count;
};

class AppendWriters : public ::testing::TestWithParam<bool> {
 protected:
  FileSystem& files() { return GetParam() ? real_file_system() : *memory_; }
  std::string path() { return GetParam() ? folder_.path() + "/file" : "/file"; }
  RawBytes content() {
    const auto file = files().open_read(path());
    RawBytes out(file.value()->bytes());
    EXPECT_OK(file.value()->read_at(0, out));
    return out;
  }

 private:
  TempFolder folder_;
  std::unique_ptr<MemoryFileSystem> memory_ = make_memory_file_system();
};

TEST_P(AppendWriters, WriteWhatIsCopiedAndWhatIsLentInOrder) {
  std::mt19937_64 random(7);
  const auto file = files().create(path());
  ASSERT_OK(file);
  std::atomic<int> held{0};
  RawBytes expected;
  {
    auto writer = AppendWriter::begin(**file, 4 << 20);
    ASSERT_OK(writer);
    for (const std::size_t size :
         {std::size_t{64}, std::size_t{4032}, std::size_t{1} << 20, std::size_t{2} << 20,
          std::size_t{5000}, std::size_t{(1 << 20) + 17}, std::size_t{4079 - 904}, std::size_t{0},
          std::size_t{4} << 20, std::size_t{8192}, std::size_t{3} << 20, std::size_t{1}}) {
      const auto lent = std::make_shared<Lent>(size, random, held);
      expected.insert(expected.end(), lent->bytes.begin(), lent->bytes.end());
      ASSERT_OK((*writer)->append(lent->bytes, lent));
      EXPECT_EQ((*writer)->bytes(), expected.size());
    }
    ASSERT_OK((*writer)->finish());
    EXPECT_EQ(held, 0);
  }
  EXPECT_TRUE(content() == expected);
}

TEST_P(AppendWriters, WriteLentBytesFromWhereverTheyLie) {
  std::mt19937_64 random(8);
  const auto file = files().create(path());
  ASSERT_OK(file);
  std::atomic<int> held{0};
  const auto lent = std::make_shared<Lent>(std::size_t{2} << 20, random, held);
  auto writer = AppendWriter::begin(**file, 2 << 20);
  ASSERT_OK(writer);
  const Bytes odd = Bytes(lent->bytes).subspan(64, 1 << 20);
  ASSERT_OK((*writer)->append(odd, lent));
  ASSERT_OK((*writer)->finish());
  EXPECT_TRUE(std::ranges::equal(content(), odd));
}

INSTANTIATE_TEST_SUITE_P(All, AppendWriters, ::testing::Bool(),
                         [](const auto& kind) { return kind.param ? "Disk" : "Memory"; });

TEST(AppendWriter, SaysWhatTheDiskSaidAndGivesLentBytesBack) {
  const auto memory = make_memory_file_system();
  const auto file = memory->create("/file");
  ASSERT_OK(file);
  memory->set_free_bytes(1 << 20);
  std::mt19937_64 random(9);
  std::atomic<int> held{0};
  auto writer = AppendWriter::begin(**file, 2 << 20);
  ASSERT_OK(writer);
  const auto append = [&] {
    const auto lent = std::make_shared<Lent>(std::size_t{1} << 20, random, held);
    return (*writer)->append(lent->bytes, lent);
  };
  Status said = ok();
  for (int i = 0; i < 4 && said; ++i) said = append();
  if (said) said = (*writer)->finish();
  ASSERT_FALSE(said);
  EXPECT_EQ(said.error().code, ErrorCode::kNoSpace);
  writer->reset();
  EXPECT_EQ(held, 0);
}

}  // namespace
}  // namespace kilter::io
