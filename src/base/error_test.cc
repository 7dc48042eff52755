#include "kilter/error.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "base/error_table.h"
#include "base/try.h"

namespace kilter {
namespace {

TEST(Error, HasOneRowForEachCodeWithDistinctNames) {
  std::set<std::string_view> names, classes;
  for (const ErrorRow& row : error_table()) {
    EXPECT_EQ(&error_row(row.code), &row);
    EXPECT_TRUE(names.insert(row.name).second) << row.name;
    EXPECT_TRUE(classes.insert(row.python_class).second) << row.python_class;
    EXPECT_NE(row.exit_status, 0) << row.name;
    EXPECT_GE(row.http_status, 400) << row.name;
  }
  EXPECT_EQ(names.size(), static_cast<std::size_t>(ErrorCode::kInternal) + 1);
}

TEST(Error, ExitsAsTheHelpSays) {
  EXPECT_EQ(error_row(ErrorCode::kInvalidArgument).exit_status, 2);
  EXPECT_EQ(error_row(ErrorCode::kMalformed).exit_status, 3);
  EXPECT_EQ(error_row(ErrorCode::kNotFound).exit_status, 4);
  EXPECT_EQ(error_row(ErrorCode::kNoSpace).exit_status, 5);
  EXPECT_EQ(error_row(ErrorCode::kCancelled).exit_status, 130);
}

TEST(Error, TreatsACodeOutsideTheTableAsInternal) {
  EXPECT_EQ(error_row(static_cast<ErrorCode>(200)).code, ErrorCode::kInternal);
}

TEST(Error, SaysWhereWhatAndWhatNextInOneLine) {
  const Error error = Error(ErrorCode::kMalformed, "bytes end past the file")
                          .at_path("model.safetensors")
                          .at_tensor("h.0.w")
                          .at_offset(4096)
                          .wanted("8192", "8000")
                          .advise("download it again");
  EXPECT_EQ(error.text(),
            "model.safetensors: tensor \"h.0.w\": offset 4096: bytes end past the file (expected "
            "8192, found 8000); download it again");
}

TEST(Error, LeavesOutWhatDoesNotApply) {
  EXPECT_EQ(Error(ErrorCode::kIo, "read failed").text(), "read failed");
  EXPECT_EQ(Error(ErrorCode::kIo, "short").wanted("8", "").text(), "short (expected 8)");
  EXPECT_EQ(Error(ErrorCode::kIo, "short").wanted("", "7").text(), "short (found 7)");
}

TEST(Error, KeepsWhatAnInnerLayerAlreadySaid) {
  const Error error = Error(ErrorCode::kIo, "m")
                          .at_path("inner")
                          .at_path("outer")
                          .at_offset(0)
                          .at_offset(9)
                          .wanted("a", "b")
                          .wanted("c", "d");
  EXPECT_EQ(error.text(), "inner: offset 0: m (expected a, found b)");
}

TEST(Error, EscapesWhatCameFromAFile) {
  const Error error = Error(ErrorCode::kUnsafe, "x\x1b[2J").at_tensor("a\nb\xe2\x80\xae");
  EXPECT_EQ(error.text(), "tensor \"a\\nb\\u202e\": x\\x1b[2J");
}

Result<int> half_of(int value) {
  if (value % 2 != 0) return fail(ErrorCode::kInvalidArgument, "odd");
  return value / 2;
}

Result<int> quarter_of(int value) {
  KILTER_ASSIGN(const int half, half_of(value));
  KILTER_TRY(half_of(half));
  return half / 2;
}

TEST(Error, ReturnsEarlyThroughTheMacros) {
  EXPECT_EQ(quarter_of(8).value(), 2);
  EXPECT_EQ(quarter_of(6).error().message, "odd");
  EXPECT_EQ(quarter_of(5).error().message, "odd");
}

TEST(ErrorDeathTest, ChecksEndTheProgramWithTheConditionsText) {
  const int zero = 0;
  EXPECT_DEATH(KILTER_CHECK(zero == 1), "zero == 1");
}

}  // namespace
}  // namespace kilter
