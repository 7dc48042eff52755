#include <gtest/gtest.h>

#include <string>

#include "base/text.h"

namespace kilter {
namespace {

TEST(Glob, MatchesRunsCharactersAndClasses) {
  EXPECT_TRUE(glob_match("*", ""));
  EXPECT_TRUE(glob_match("model.*.weight", "model.layers.0.weight"));
  EXPECT_FALSE(glob_match("model.*.weight", "model.layers.0.weights"));
  EXPECT_TRUE(glob_match("a?c", "abc"));
  EXPECT_FALSE(glob_match("a?c", "ac"));
  EXPECT_TRUE(glob_match("layer[0-9][!a-f]", "layer7z"));
  EXPECT_FALSE(glob_match("layer[0-9][!a-f]", "layer7b"));
  EXPECT_TRUE(glob_match("[]x]", "]"));
  EXPECT_TRUE(glob_match("[a-]", "-"));
  EXPECT_TRUE(glob_match("*a*b*", "xxaxxbxx"));
  EXPECT_FALSE(glob_match("", "x"));
  EXPECT_TRUE(glob_match("", ""));
}

TEST(Glob, CountsCharactersNotBytes) {
  EXPECT_TRUE(glob_match("模?", "模型"));
  EXPECT_TRUE(glob_match("*?", "é"));
  EXPECT_TRUE(glob_match("[à-ü]", "é"));
  EXPECT_TRUE(glob_match("?", "\xff"));
  EXPECT_FALSE(glob_match("\xc3\xbf", "\xff"));  // U+00FF is not the byte FF
}

TEST(Glob, TakesEscapedCharactersLiterally) {
  EXPECT_TRUE(glob_match("a\\*", "a*"));
  EXPECT_FALSE(glob_match("a\\*", "ab"));
  EXPECT_TRUE(glob_match("[\\]]", "]"));
  EXPECT_TRUE(glob_match("a\\", "a\\"));
  EXPECT_TRUE(glob_match("\\[x", "[x"));
}

TEST(Glob, TakesAnUnclosedBracketLiterally) {
  EXPECT_TRUE(glob_match("a[b", "a[b"));
  EXPECT_FALSE(glob_match("a[b", "ab"));
}

TEST(Glob, EndsInTimeOnPatternsThatBacktrack) {
  std::string pattern;
  for (int i = 0; i < 50; ++i) pattern += "a*";
  EXPECT_FALSE(glob_match(pattern + "b", std::string(5000, 'a')));
}

}  // namespace
}  // namespace kilter
