#include "model/card.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace kilter::model {
namespace {

TEST(Card, ReadsScalarsListsAndQuotes) {
  const Card card = read_card(
      "---\n# comment\nlicense: \"apache-2.0\"  # kept\nbase_model:\n- org/a\n- 'org/b'\n"
      "tags: [merge, \"x y\"]\nlanguage:\n  - en\n---\n# Title\nlicense: mit\n");
  EXPECT_EQ(card.first("license"), "apache-2.0");
  ASSERT_NE(card.find("base_model"), nullptr);
  EXPECT_EQ(*card.find("base_model"), (std::vector<std::string>{"org/a", "org/b"}));
  EXPECT_TRUE(card.has("tags", "merge"));
  EXPECT_TRUE(card.has("tags", "x y"));
  EXPECT_TRUE(card.has("language", "en"));
}

TEST(Card, SkipsNestedMapsAndBlockText) {
  const Card card = read_card(
      "---\nmodel-index:\n- name: x\n  results:\n  - task:\n      type: text\nwidget:\n  text: "
      "hello\n"
      "note: |\n  license: gpl\nlicense: mit\n---\n");
  EXPECT_EQ(card.first("license"), "mit");
  ASSERT_NE(card.find("model-index"), nullptr);
  EXPECT_TRUE(card.find("model-index")->empty());
}

TEST(Card, IsEmptyWithoutFrontMatter) {
  EXPECT_TRUE(read_card("# Title\nlicense: mit\n").fields.empty());
  EXPECT_TRUE(read_card("---\nlicense: mit\nno end").fields.empty());
  EXPECT_TRUE(read_card("").fields.empty());
  EXPECT_TRUE(read_card("---").fields.empty());
}

TEST(Card, SkipsLinesWithoutAKey) {
  const Card card = read_card("---\n: merge\n\"\": x\n- lost\nlicense: mit\n---\n");
  ASSERT_EQ(card.fields.size(), 1U);
  EXPECT_EQ(card.first("license"), "mit");
}

TEST(Card, ReadsWindowsLinesAndAByteOrderMark) {
  EXPECT_EQ(read_card("\xEF\xBB\xBF---\r\nlicense: mit\r\n---\r\n").first("license"), "mit");
}

TEST(Card, StaysBounded) {
  std::string many = "---\n";
  for (int i = 0; i < 100000; ++i) many += fmt::format("k{}: v\n", i);
  EXPECT_LE(read_card(many + "---\n").fields.size(), 500U);
  std::string list = "---\na:\n";
  for (int i = 0; i < 20000; ++i) list += "- &a *a\n";
  const Card card = read_card(list + "---\n");
  ASSERT_EQ(card.fields.size(), 1U);
  EXPECT_LE(card.fields[0].second.size(), 1000U);
}

}  // namespace
}  // namespace kilter::model
