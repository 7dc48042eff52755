#include "model/adapters/name_pattern.h"

#include <gtest/gtest.h>

#include <string>

namespace kilter::model {
namespace {

bool matches(std::string_view pattern, std::string_view text) {
  const auto parsed = NamePattern::parse(pattern);
  EXPECT_TRUE(parsed) << pattern;
  return parsed && parsed->matches_whole(text);
}

TEST(NamePattern, MatchesWhatPythonMatches) {
  EXPECT_TRUE(matches("q_proj", "q_proj"));
  EXPECT_FALSE(matches("q_proj", "xq_proj"));
  EXPECT_TRUE(matches(R"(layers\.\d+\.mlp)", "layers.12.mlp"));
  EXPECT_FALSE(matches(R"(layers\.\d+\.mlp)", "layers.x.mlp"));
  EXPECT_TRUE(matches("(a|bc)*d", "abcabcd"));
  EXPECT_TRUE(matches("(a|bc)*d", "d"));
  EXPECT_FALSE(matches("(a|bc)*d", "abd"));
  EXPECT_TRUE(matches("a|b|cd", "cd"));
  EXPECT_FALSE(matches("a|b|cd", "c"));
  EXPECT_TRUE(matches("[^.]+x?", "abcx"));
  EXPECT_FALSE(matches("[^.]+x?", "a.b"));
  EXPECT_TRUE(matches("a{2,3}", "aaa"));
  EXPECT_FALSE(matches("a{2,3}", "aaaa"));
  EXPECT_FALSE(matches("a{2,3}", "a"));
  EXPECT_TRUE(matches("(?:ab){2,}", "ababab"));
  EXPECT_FALSE(matches("(?:ab){2,}", "ab"));
  EXPECT_TRUE(matches("(a{0,2}|b)+c", "aabc"));
  EXPECT_TRUE(matches("^a.*?b$", "axxb"));
  EXPECT_FALSE(matches("x^a", "xa"));
  EXPECT_TRUE(matches("((a|b|c)x|(d|e)+y)?z", "bxz"));
  EXPECT_TRUE(matches("((a|b|c)x|(d|e)+y)?z", "dedyz"));
  EXPECT_FALSE(matches("((a|b|c)x|(d|e)+y)?z", "dedxz"));
}

TEST(NamePattern, FindsModulesBehindADot) {
  const auto pattern = NamePattern::parse("mlp.down_proj");
  ASSERT_TRUE(pattern);
  EXPECT_TRUE(pattern->matches_module("model.layers.0.mlp.down_proj"));
  EXPECT_TRUE(pattern->matches_module("mlp.down_proj"));
  EXPECT_FALSE(pattern->matches_module("model.layers.0.xmlp.down_proj"));
  EXPECT_TRUE(NamePattern::parse("^model.*")->matches_module("model.layers"));
}

TEST(NamePattern, RefusesWhatItCannotMatch) {
  for (const char* pattern : {"(?=a)", R"(\1)", "(", ")", "[a", "*", "a{", "\\", "[b-a]"})
    EXPECT_FALSE(NamePattern::parse(pattern)) << pattern;
  EXPECT_FALSE(NamePattern::parse("((a{99}){99}){99}"));
  EXPECT_FALSE(NamePattern::parse(std::string(1000, '(') + std::string(1000, ')')));
}

TEST(NamePattern, TakesTimeInProportion) {
  const auto evil = NamePattern::parse("(a*)*(a|aa)+b");
  ASSERT_TRUE(evil);
  EXPECT_FALSE(evil->matches_whole(std::string(20000, 'a')));
}

}  // namespace
}  // namespace kilter::model
