#include "io/mapped_file.h"

#include <gmock/gmock.h>

#include "io/io_test_support.h"

namespace kilter::io {
namespace {

class MappedFiles : public testing::Test {
 protected:
  std::unique_ptr<ReadFile> open(std::string_view text) {
    EXPECT_OK(write_text(real_file_system(), temp_ / "a", text));
    auto file = real_file_system().open_read(temp_ / "a");
    EXPECT_OK(file);
    return std::move(*file);
  }
  TempFolder temp_;
};

TEST_F(MappedFiles, ShowTheWholeFileAndOutliveIt) {
  auto file = open("hello world");
  auto mapped = MappedFile::map(*file);
  ASSERT_OK(mapped);
  file.reset();
  EXPECT_EQ(as_text(mapped->bytes()), "hello world");
  MappedFile moved = std::move(*mapped);
  EXPECT_EQ(as_text(moved.bytes()), "hello world");
  EXPECT_TRUE(mapped->bytes().empty());
}

TEST_F(MappedFiles, ShowRangesThatBeginAnywhere) {
  std::string text;
  for (int i = 0; i < 5000; ++i) text += std::to_string(i) + ",";
  const auto file = open(text);
  for (const std::size_t offset : {std::size_t{0}, std::size_t{1}, std::size_t{4096},
                                   std::size_t{5001}, text.size() - 1, text.size()}) {
    const std::size_t count = std::min<std::size_t>(9000, text.size() - offset);
    const auto mapped = MappedFile::map(*file, offset, count);
    ASSERT_OK(mapped);
    EXPECT_EQ(as_text(mapped->bytes()), std::string_view(text).substr(offset, count)) << offset;
    for (const MapAdvice advice : {MapAdvice::kSequential, MapAdvice::kRandom, MapAdvice::kWillNeed,
                                   MapAdvice::kPopulate, MapAdvice::kDontNeed})
      mapped->advise(advice, 100, 5000);
    EXPECT_EQ(as_text(mapped->bytes()), std::string_view(text).substr(offset, count)) << offset;
  }
}

TEST_F(MappedFiles, KeepWhatIsWrittenToThemselves) {
  const auto file = open("hello world");
  const auto mapped = MappedFile::map_private(*file);
  ASSERT_OK(mapped);
  const_cast<std::byte&>(mapped->bytes()[0]) = std::byte{'J'};
  EXPECT_EQ(as_text(mapped->bytes()), "Jello world");
  std::vector<std::byte> in_file(11);
  EXPECT_OK(file->read_at(0, in_file));
  EXPECT_EQ(as_text(in_file), "hello world");
}

TEST_F(MappedFiles, RefuseRangesPastTheEnd) {
  const auto file = open("0123456789");
  EXPECT_EQ(code_of(MappedFile::map(*file, 5, 6)), ErrorCode::kOutOfRange);
  EXPECT_EQ(code_of(MappedFile::map(*file, 5, ~std::uint64_t{0})), ErrorCode::kOutOfRange);
}

TEST_F(MappedFiles, MapAnEmptyFile) {
  const auto file = open("");
  const auto mapped = MappedFile::map(*file);
  ASSERT_OK(mapped);
  EXPECT_TRUE(mapped->bytes().empty());
  mapped->advise(MapAdvice::kWillNeed);
  EXPECT_EQ(cached_fraction(*file), 1.0);
}

TEST(MappedFileInMemory, IsUnsupported) {
  const auto files = make_memory_file_system();
  files->put("a", "x");
  const auto file = files->open_read("a");
  ASSERT_OK(file);
  EXPECT_EQ(code_of(MappedFile::map(**file)), ErrorCode::kUnsupported);
  EXPECT_EQ(cached_fraction(**file), 1.0);
  EXPECT_EQ(code_of(drop_page_cache(**file)), ErrorCode::kUnsupported);
}

TEST_F(MappedFiles, TellWhatIsInThePageCache) {
  const std::string text(8 << 20, 'x');
  const auto file = open(text);  // synced: its pages are clean
  EXPECT_GT(cached_fraction(*file), 0.99);
  ASSERT_OK(drop_page_cache(*file));
  const double cold = cached_fraction(*file);
  if (cold > 0.9) GTEST_SKIP() << "this file system keeps its pages (tmpfs)";
  EXPECT_LT(cold, 0.1);
  EXPECT_LT(cached_fraction(*file), 0.1) << "asking must not read";
  std::string half(text.size() / 2, ' ');
  ASSERT_OK(file->read_at(0, std::as_writable_bytes(std::span(half))));
  EXPECT_GT(cached_fraction(*file), 0.45);  // read-ahead may have brought the rest, too
}

}  // namespace
}  // namespace kilter::io
