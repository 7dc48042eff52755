#include "base/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <string>

namespace kilter {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

/// A stream in memory and a clock that moves by hand.
class ProgressTest : public testing::Test {
 protected:
  ProgressTest() : out_(open_memstream(&text_, &size_)) {}
  ~ProgressTest() override {
    std::fclose(out_);
    std::free(text_);
  }

  std::string written() {
    std::fflush(out_);
    return std::string(text_, size_);
  }
  std::size_t count_of(char wanted) {
    std::size_t count = 0;
    for (const char c : written()) count += c == wanted ? 1 : 0;
    return count;
  }
  ProgressClock clock() {
    return [this] { return now_; };
  }

  char* text_ = nullptr;
  std::size_t size_ = 0;
  std::FILE* out_;
  ProgressTime now_{seconds(1000)};
};

TEST_F(ProgressTest, SaysVerbShareBytesRateAndTimeLeft) {
  const ProgressState state{"convert", 4ULL << 30U, 1ULL << 30U, now_ - seconds(2)};
  EXPECT_EQ(progress_text(state, now_, 0), "convert   25%  1 GiB/4 GiB  0.54 GB/s  0:06 left");
  EXPECT_THAT(progress_text(state, now_, 8), HasSubstr("[##......]"));
}

TEST_F(ProgressTest, SaysWhatItKnowsWhereTheTotalIsUnknown) {
  const ProgressState state{"scan", 0, 1ULL << 30U, now_ - seconds(2)};
  EXPECT_EQ(progress_text(state, now_, 8), "scan  1 GiB  0.54 GB/s");
  const ProgressState fresh{"scan", 100, 0, now_};
  EXPECT_EQ(progress_text(fresh, now_, 0), "scan    0%  0 B/100 B");
}

TEST_F(ProgressTest, StaysSoundWhenMoreIsDoneThanWasAnnounced) {
  const ProgressState state{"x", 100, 250, now_ - seconds(1)};
  EXPECT_THAT(progress_text(state, now_, 4), HasSubstr("[####]  100%"));
  EXPECT_THAT(progress_text(state, now_, 4), testing::Not(HasSubstr("left")));
}

TEST_F(ProgressTest, RedrawsOneLineAtMostTenTimesASecond) {
  TerminalProgress progress(out_, clock());
  progress.begin("convert", 1000);
  for (std::uint64_t i = 1; i <= 1000; ++i) {
    now_ += milliseconds(1);
    progress.update(i);
  }
  EXPECT_EQ(count_of('\r'), 11U);  // at the start and at ten times in the second
  EXPECT_EQ(count_of('\n'), 0U);
  progress.end();
  EXPECT_THAT(written(), EndsWith("\r\x1b[K"));
}

TEST_F(ProgressTest, WritesALineForEachTenthOfLongWork) {
  LineProgress progress(out_, clock());
  progress.begin("convert", 1000);
  for (std::uint64_t i = 1; i <= 1000; ++i) {
    now_ += milliseconds(100);
    progress.update(i);
  }
  progress.end();
  EXPECT_EQ(count_of('\n'), 11U);
  EXPECT_EQ(count_of('\r'), 0U);
  EXPECT_THAT(written(), StartsWith("convert   10%"));
  EXPECT_THAT(written(), HasSubstr("\nconvert  100%  1000 B/1000 B"));
}

TEST_F(ProgressTest, WritesOnlyTheEndOfShortWork) {
  LineProgress progress(out_, clock());
  progress.begin("convert", 100);
  now_ += seconds(1);
  progress.update(100);
  progress.end();
  EXPECT_EQ(count_of('\n'), 1U);
}

TEST_F(ProgressTest, SaysNothingOfWorkThatIsOverAtOnce) {
  LineProgress progress(out_, clock());
  progress.begin("convert", 100);
  now_ += milliseconds(999);
  progress.end();
  EXPECT_EQ(written(), "");
}

TEST_F(ProgressTest, ChoosesTheDisplayThatSuitsTheStream) {
  EXPECT_EQ(make_progress(out_, true), nullptr);
  const auto progress = make_progress(out_, false);
  EXPECT_NE(dynamic_cast<LineProgress*>(progress.get()), nullptr);
}

/// What a terminal of that many columns is sent by one drawing.
std::string drawn_on_terminal(unsigned short columns) {
  winsize size{};
  size.ws_row = 24;
  size.ws_col = columns;
  int near = -1, far = -1;
  EXPECT_EQ(openpty(&near, &far, nullptr, nullptr, &size), 0);
  std::FILE* out = fdopen(far, "w");
  const auto progress = make_progress(out, false);
  EXPECT_NE(dynamic_cast<TerminalProgress*>(progress.get()), nullptr);
  progress->begin("convert", 1000);
  std::array<char, 1000> text;
  const ssize_t count = read(near, text.data(), text.size());
  std::fclose(out);
  close(near);
  return std::string(text.data(), count > 0 ? static_cast<std::size_t>(count) : 0);
}

TEST_F(ProgressTest, NeverWrapsOnANarrowTerminal) {
  EXPECT_THAT(drawn_on_terminal(80), HasSubstr("[....."));
  EXPECT_EQ(drawn_on_terminal(40), "\rconvert    0%  0 B/1000 B\x1b[K");
  EXPECT_EQ(drawn_on_terminal(10), "\rconvert …\x1b[K");
}

TEST_F(ProgressTest, CannotBeMovedAboutByAVerb) {
  TerminalProgress progress(out_, clock());
  progress.begin("a\x1b[2Jb\n", 0);
  EXPECT_THAT(written(), HasSubstr("a\\x1b[2Jb\\n"));
}

TEST(RunContext, IsCancelledOnceTheTokenIsSet) {
  CancelToken token;
  const RunContext context{nullptr, &token};
  EXPECT_TRUE(context.check());
  token.cancel();
  EXPECT_EQ(context.check().error().code, ErrorCode::kCancelled);
  EXPECT_TRUE(RunContext().check());
}

}  // namespace
}  // namespace kilter
