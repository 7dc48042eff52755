#include "base/json.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

#include <nlohmann/json.hpp>

namespace kilter {
namespace {

using namespace std::string_literals;

Error error_of(std::string_view text, const JsonLimits& limits = {}, std::uint64_t base = 0) {
  const auto value = parse_json(text, limits, base);
  EXPECT_FALSE(value) << text;
  return value ? Error() : value.error();
}

TEST(JsonText, ReadsEveryKindOfValueAndKeepsTheOrderOfKeys) {
  const auto value =
      parse_json(R"( {"z": [1, -2, 2.5, true, false, null], "a": {"é": "x\u00e9\n"}, "e": {}} )");
  ASSERT_TRUE(value) << value.error().text();
  EXPECT_EQ(dump_json(*value, -1), R"({"z":[1,-2,2.5,true,false,null],"a":{"é":"xé\n"},"e":{}})");
  EXPECT_TRUE((*value)["z"][0].is_number_unsigned());
  EXPECT_TRUE((*value)["z"][1].is_number_integer());
}

TEST(JsonText, KeepsIntegersOf64BitsAndMakesLargerOnesFloats) {
  const auto value =
      parse_json("[18446744073709551615, -9223372036854775808, 18446744073709551616]");
  ASSERT_TRUE(value);
  EXPECT_EQ((*value)[0].get<std::uint64_t>(), std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ((*value)[1].get<std::int64_t>(), std::numeric_limits<std::int64_t>::min());
  EXPECT_TRUE((*value)[2].is_number_float());
  EXPECT_EQ((*value)[2].get<double>(), 18446744073709551616.0);
}

TEST(JsonText, RefusesARepeatedKeyByNameAndPlace) {
  const Error error = error_of(R"({"a": 1, "b": {"x\"y": 1, "c": 2, "x\"y": 3}})", {}, 100);
  EXPECT_EQ(error.code, ErrorCode::kMalformed);
  EXPECT_EQ(error.offset_bytes, 100U + 34U);
  EXPECT_NE(error.found.find("x\"y"), std::string::npos) << error.found;
  EXPECT_EQ(error_of(R"({"a":1,"\u0061":2})").offset_bytes, 7U);  // the same key spelled otherwise
  EXPECT_TRUE(parse_json(R"({"a": {"k": 1}, "b": {"k": 1}})"));
}

TEST(JsonText, RefusesWhatTheStandardRefusesAndSaysWhere) {
  for (const char* text : {"",
                           " ",
                           "{",
                           "[1,]",
                           "{\"a\":}",
                           "{\"a\" 1}",
                           "{a:1}",
                           "nul",
                           "01",
                           "1.",
                           "+1",
                           ".5",
                           "NaN",
                           "Infinity",
                           "1e999",
                           "'a'",
                           "\"a",
                           "\"\\x\"",
                           "\"\\ud800\"",
                           "\"\n\"",
                           "[1] x",
                           "// c\n1",
                           "/* c */ 1",
                           "[1 2]",
                           "{\"a\":1,}",
                           "\"\xff\"",
                           "\"\xed\xa0\x80\"",
                           "]"}) {
    EXPECT_EQ(error_of(text).code, ErrorCode::kMalformed) << text;
  }
  EXPECT_EQ(error_of("[1, 2, x]").offset_bytes, 7U);
  EXPECT_EQ(error_of("[1, 2, x]", {}, 8).offset_bytes, 15U);
  EXPECT_EQ(error_of("\xef\xbb\xbf[]").code, ErrorCode::kMalformed);
}

TEST(JsonText, IsNotEndedByAZeroByte) {
  const Error error = error_of("[1]\0[evil]"s);
  EXPECT_EQ(error.code, ErrorCode::kMalformed);
  EXPECT_EQ(error.offset_bytes, 3U);
}

TEST(JsonText, HoldsItsBudgets) {
  EXPECT_TRUE(parse_json("[[[]]]", {100, 3}));
  const Error deep = error_of("[[[[]]]]", {100, 3});
  EXPECT_EQ(deep.code, ErrorCode::kLimitExceeded);
  EXPECT_EQ(deep.offset_bytes, 3U);
  EXPECT_EQ(error_of("[1,2,3]", {6, 3}).code, ErrorCode::kLimitExceeded);
  EXPECT_EQ(error_of(std::string(1'000'000, '[')).code, ErrorCode::kLimitExceeded);
}

TEST(JsonText, NeverRecursesWhateverTheDepth) {
  const std::size_t depth = 400'000;
  std::string text;
  for (std::size_t i = 0; i < depth; ++i) text += i % 2 == 0 ? "[" : "{\"k\":";
  text += "1";
  for (std::size_t i = depth; i-- > 0;) text += i % 2 == 0 ? "]" : "}";
  const auto value = parse_json(text, {text.size(), 1'000'000});
  ASSERT_TRUE(value) << value.error().text();
  EXPECT_EQ(dump_json(*value, -1), text);
}

TEST(JsonText, ReadsObjectsOfManyKeysInReasonableTime) {
  std::string text = "{";
  for (int i = 0; i < 100'000; ++i) {
    text += (i == 0 ? "\"k" : ",\"k") + std::to_string(i) + "\":" + std::to_string(i);
  }
  const auto value = parse_json(text + "}");
  ASSERT_TRUE(value);
  EXPECT_EQ(value->size(), 100'000U);
  EXPECT_EQ(value->back().get<int>(), 99'999);
}

TEST(JsonText, WritesIndentedAndCompact) {
  const auto value = parse_json(R"({"a":[1,{"b":[]}],"c":"d"})");
  ASSERT_TRUE(value);
  EXPECT_EQ(dump_json(*value, 2), value->dump(2));
  EXPECT_EQ(dump_json(*value, 0), value->dump(0));
  EXPECT_EQ(dump_json(*value, -1), value->dump());
  EXPECT_EQ(dump_json(Json("x"), 2), "\"x\"");
}

TEST(JsonText, WritesInvalidUtf8AsReplacementCharacters) {
  Json value = Json::object();
  value["k\xff"] = "v\xfe";
  EXPECT_EQ(dump_json(value, -1), "{\"k\xef\xbf\xbd\":\"v\xef\xbf\xbd\"}");
}

TEST(JsonText, WritesNumbersThatReadBack) {
  Json value = Json::array({0.1, 1e300, -0.0, std::nan(""), 123456789012345678ULL});
  EXPECT_EQ(dump_json(value, -1), "[0.1,1e+300,-0.0,null,123456789012345678]");
}

TEST(JsonText, TellsAnErrorWithTheFieldsThatApply) {
  const Error error = Error(ErrorCode::kMalformed, "m").at_path("p").at_offset(0).wanted("e", "f");
  EXPECT_EQ(
      dump_json(error_to_json(error), -1),
      R"({"error":{"code":"malformed","message":"m","path":"p","offset":0,"expected":"e","found":"f"}})");
  EXPECT_EQ(dump_json(error_to_json(Error(ErrorCode::kIo, "x")), -1),
            R"({"error":{"code":"io","message":"x"}})");
}

}  // namespace
}  // namespace kilter
