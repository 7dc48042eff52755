#include "formats/dcp/rank_join.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/dcp/item_writer.h"
#include "formats/test_files.h"
#include "formats/torch/pickle_writer.h"

namespace kilter::dcp {
namespace {

using formats::test::safetensors_file;
using formats::test::ScratchFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// The archive that torch's planner makes of a number.
std::string number_archive(std::int64_t value) {
  torch::PickleWriter out;
  out.integer(value);
  out.stop();
  return object_frame(out.take()).head;
}

constexpr std::string_view kLayout = R"({"format": "kilter-dcp", "version": 1, "tensors": {
  "w": {"dtype": "u8", "shape": [3, 2], "requires_grad": true, "pieces": [
    {"at": [0, 0], "shape": [2, 2], "rank": 0, "name": "w@0,0"},
    {"at": [2, 0], "shape": [1, 2], "rank": 1, "name": "w@2,0"}]},
  "b": {"dtype": "u8", "shape": [1], "pieces": [{"at": [0], "shape": [1], "rank": 1, "name": "b@0"}]}},
  "objects": {"o.n": {"rank": 0, "name": "o.n"}},
  "paths": {"w": ["model", "w"], "b": ["model", "b"], "o.n": ["list", 0]}})";

class RankedStep : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string number = number_archive(12);
    const std::string header =
        fmt::format(R"({{"w@0,0":{{"dtype":"U8","shape":[2,2],"data_offsets":[0,4]}},)"
                    R"("o.n":{{"dtype":"U8","shape":[{0}],"data_offsets":[4,{1}]}}}})",
                    number.size(), number.size() + 4);
    folder_.put("rank-00000.safetensors", safetensors_file(header, "abcd" + number));
    folder_.put("rank-00001.safetensors",
                safetensors_file(R"({"w@2,0":{"dtype":"U8","shape":[1,2],"data_offsets":[0,2]},)"
                                 R"("b@0":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}})",
                                 "efZ"));
    put_layout(std::string(kLayout));
  }
  void put_layout(std::string text) { folder_.put("kilter-dcp.json", text); }
  void put_layout_with(std::string_view part, std::string_view other) {
    std::string text(kLayout);
    text.replace(text.find(part), part.size(), other);
    put_layout(std::move(text));
  }
  Result<Checkpoint> open(bool lenient = false, bool join = true) {
    OpenOptions options;
    options.lenient = lenient;
    options.join_ranks = join;
    return open_checkpoint(folder_.root(), options);
  }
  std::string refusal() {
    const auto opened = open();
    return opened ? "opened" : opened.error().text();
  }
  static std::vector<std::string> names(const Checkpoint& checkpoint) {
    std::vector<std::string> out;
    for (const TensorInfo& tensor : checkpoint.tensors()) out.push_back(tensor.name);
    return out;
  }

  ScratchFolder folder_;
};

TEST_F(RankedStep, ShowsWholeTensorsAndTheNestedState) {
  const auto opened = open();
  ASSERT_TRUE(opened.has_value()) << opened.error().text();
  EXPECT_THAT(names(*opened), ElementsAre("w", "b"));
  const auto bytes = opened->read_tensor("w");
  ASSERT_TRUE(bytes.has_value()) << bytes.error().text();
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(bytes->data()), bytes->size()), "abcdef");
  EXPECT_TRUE(opened->tensors()[0].requires_grad);
  const StateTree& state = opened->data().state;
  const StateId list = state.find(state.root(), "list");
  ASSERT_NE(list, kNoState);
  EXPECT_EQ(state[state[list].items.at(0)].integer, 12);
  EXPECT_NE(state.find(state.find(state.root(), "model"), "w"), kNoState);
  EXPECT_THAT(opened->data().format_detail, HasSubstr("step saved by several ranks"));
}

TEST_F(RankedStep, CanBeSeenAsItsFiles) {
  const auto opened = open(false, false);
  ASSERT_TRUE(opened.has_value());
  EXPECT_THAT(names(*opened), ElementsAre("rank-00000.w@0,0", "rank-00000.o.n", "rank-00001.w@2,0",
                                          "rank-00001.b@0"));
}

TEST_F(RankedStep, KeepsWhatTheLayoutDoesNotName) {
  folder_.put("extra.safetensors",
              safetensors_file(R"({"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "x"));
  const auto opened = open();
  ASSERT_TRUE(opened.has_value()) << opened.error().text();
  EXPECT_THAT(names(*opened), ElementsAre("w", "b", "extra.x"));
}

TEST_F(RankedStep, RefusesPiecesThatAreMissingOrOther) {
  put_layout_with("w@2,0", "w@9,0");
  EXPECT_THAT(refusal(), HasSubstr("'w@9,0'"));
  put_layout_with("\"at\": [2, 0]", "\"at\": [1, 0]");
  EXPECT_THAT(refusal(), HasSubstr("w"));
  EXPECT_NE(refusal(), "opened");
  put_layout_with("\"dtype\": \"u8\", \"shape\": [3, 2]", "\"dtype\": \"i8\", \"shape\": [3, 2]");
  EXPECT_THAT(refusal(), HasSubstr("a piece differs"));
  put_layout_with("\"shape\": [3, 2]", "\"shape\": [4, 2]");
  EXPECT_NE(refusal(), "opened");
  put_layout_with("\"rank\": 0, \"name\": \"o.n\"", "\"rank\": 1, \"name\": \"b@0\"");
  EXPECT_NE(refusal(), "opened");  // one byte is no archive
}

TEST_F(RankedStep, RescuesWhatIsWhole) {
  put_layout_with("w@2,0", "w@9,0");
  const auto opened = open(true);
  ASSERT_TRUE(opened.has_value()) << opened.error().text();
  EXPECT_THAT(names(*opened), ElementsAre("b", "rank-00001.w@2,0"));
  EXPECT_EQ(opened->data().findings.front().rule, "dcp.broken-entry");
}

TEST_F(RankedStep, RefusesLayoutsThatAreNone) {
  put_layout("{}");
  EXPECT_THAT(refusal(), HasSubstr("kilter-dcp.json"));
  for (const auto& [part, other] : std::initializer_list<std::pair<const char*, const char*>>{
           {"\"version\": 1", "\"version\": 2"},
           {"\"shape\": [3, 2]", "\"shape\": [3, -2]"},
           {"\"shape\": [3, 2]", "\"shape\": [3, 9223372036854775808]"},
           {"\"shape\": [3, 2]", "\"shape\": [9223372036854775807, 9223372036854775807]"},
           {"\"dtype\": \"u8\"", "\"dtype\": \"u9\""},
           {"\"at\": [0, 0]", "\"at\": [0]"},
           {"\"rank\": 0", "\"rank\": -1"},
           {"[\"list\", 0]", "[]"},
           {"\"objects\"", "\"things\""}}) {
    put_layout_with(part, other);
    EXPECT_NE(refusal(), "opened") << other;
  }
}

}  // namespace
}  // namespace kilter::dcp
