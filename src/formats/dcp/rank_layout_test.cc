#include "formats/dcp/rank_layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kilter::dcp {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string layout_with(const std::string& tensors, const std::string& objects = "{}",
                        const std::string& paths = "{}", const std::string& version = "1") {
  return R"({"format": "kilter-dcp", "version": )" + version + R"(, "tensors": )" + tensors +
         R"(, "objects": )" + objects + R"(, "paths": )" + paths + "}";
}

std::string tensor_with(const std::string& shape, const std::string& piece) {
  return R"({"w": {"dtype": "bf16", "shape": )" + shape + R"(, "pieces": [)" + piece + "]}}";
}

constexpr const char* kPiece = R"({"at": [1, 0], "shape": [1, 2], "rank": 3, "name": "w@1,0"})";

TEST(RankLayout, SaysWhatPiecesArePiecesOf) {
  const auto layout = parse_rank_layout(layout_with(tensor_with("[2, 2]", kPiece),
                                                    R"({"n": {"rank": 0, "name": "n"}})",
                                                    R"({"n": ["list", 0, "n"]})"));
  ASSERT_TRUE(layout.has_value()) << layout.error().text();
  ASSERT_EQ(layout->tensors.size(), 1U);
  const RankTensor& tensor = layout->tensors[0];
  EXPECT_EQ(tensor.dtype, DType::kBF16);
  EXPECT_THAT(tensor.shape, ElementsAre(2, 2));
  EXPECT_FALSE(tensor.requires_grad);
  ASSERT_EQ(tensor.pieces.size(), 1U);
  EXPECT_EQ(tensor.pieces[0].rank, 3U);
  EXPECT_EQ(tensor.pieces[0].name, "w@1,0");
  EXPECT_THAT(tensor.pieces[0].chunk.offsets, ElementsAre(1, 0));
  EXPECT_THAT(tensor.pieces[0].chunk.sizes, ElementsAre(1, 2));
  const auto path = layout->path_of("n");
  ASSERT_EQ(path.size(), 3U);
  EXPECT_EQ(path[0].key, "list");
  EXPECT_EQ(path[1].position, 0);
  EXPECT_EQ(layout->path_of("w").front().key, "w");  // where it is not stated
}

TEST(RankLayout, NamesTheEntryThatIsBroken) {
  const auto refusal = [](const std::string& text) {
    const auto layout = parse_rank_layout(text);
    return layout ? Error() : layout.error();
  };
  const Error box = refusal(layout_with(tensor_with("[2, 2, 2]", kPiece)));
  EXPECT_EQ(box.code, ErrorCode::kMalformed);
  EXPECT_EQ(box.tensor, "w");
  EXPECT_EQ(refusal(layout_with("{}", "{}", "{}", "2")).code, ErrorCode::kUnsupported);
  EXPECT_THAT(refusal(layout_with("[]")).text(), HasSubstr("an object"));
  EXPECT_EQ(refusal("[]").code, ErrorCode::kMalformed);
}

TEST(RankLayout, NamesFilesByRank) { EXPECT_EQ(rank_file_name(3), "rank-00003.safetensors"); }

}  // namespace
}  // namespace kilter::dcp
