#include "formats/safetensors/safetensors_sink.h"

#include <gtest/gtest.h>

#include "formats/shard_plan.h"

namespace kilter::safetensors {
namespace {

PlanOutput output(std::string name, DType dtype, std::vector<std::int64_t> shape,
                  std::uint64_t bytes) {
  PlanOutput out;
  out.name = std::move(name);
  out.dtype = dtype;
  out.shape = std::move(shape);
  out.bytes = bytes;
  return out;
}

/// The literal at the beginning of a file, without the eight bytes of length.
std::string header_of(const FileLayout& file) { return file.segments.at(0).literal.substr(8); }

TEST(SafetensorsSink, OrdersByDtypeThenNameAndPads) {
  Plan plan;
  plan.outputs = {output("b", DType::kF16, {2}, 4), output("a", DType::kF16, {}, 2),
                  output("z", DType::kI64, {1}, 8), output("q\"\n", DType::kBool, {3}, 3)};
  formats::WriteOptions options;
  options.metadata = {{"b", "2"}, {"a", "1"}};
  const auto files = make_safetensors_sink(options)->layout(plan);
  ASSERT_TRUE(files) << files.error().text();
  ASSERT_EQ(files->size(), 1U);
  EXPECT_EQ((*files)[0].name, "model.safetensors");
  const std::string expected =
      R"({"__metadata__":{"a":"1","b":"2"},"z":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},)"
      R"("a":{"dtype":"F16","shape":[],"data_offsets":[8,10]},)"
      R"("b":{"dtype":"F16","shape":[2],"data_offsets":[10,14]},)"
      R"("q\"\n":{"dtype":"BOOL","shape":[3],"data_offsets":[14,17]}})";
  const std::string header = header_of((*files)[0]);
  EXPECT_EQ(header.substr(0, expected.size()), expected);
  EXPECT_EQ(header.size() % 8, 0U);
  EXPECT_EQ(header.find_first_not_of(' ', expected.size()), std::string::npos);
  std::vector<std::size_t> order;
  for (std::size_t i = 1; i < (*files)[0].segments.size(); ++i)
    order.push_back((*files)[0].segments[i].index);
  EXPECT_EQ(order, (std::vector<std::size_t>{2, 1, 0, 3}));
}

TEST(SafetensorsSink, WritesShardsAndTheirIndex) {
  Plan plan;
  plan.outputs = {output("a", DType::kU8, {6}, 6), output("b", DType::kU8, {20}, 20),
                  output("c", DType::kU8, {4}, 4), output("d", DType::kU8, {5}, 5)};
  formats::WriteOptions options;
  options.shard_bytes_max = 10;
  const auto files = make_safetensors_sink(options)->layout(plan);
  ASSERT_TRUE(files) << files.error().text();
  ASSERT_EQ(files->size(), 4U);
  EXPECT_EQ((*files)[0].name, "model-00001-of-00003.safetensors");
  EXPECT_EQ((*files)[3].name, "model.safetensors.index.json");
  EXPECT_EQ((*files)[3].segments[0].literal, R"({
  "metadata": {
    "total_size": 35
  },
  "weight_map": {
    "a": "model-00002-of-00003.safetensors",
    "b": "model-00001-of-00003.safetensors",
    "c": "model-00002-of-00003.safetensors",
    "d": "model-00003-of-00003.safetensors"
  }
}
)");
}

TEST(SafetensorsSink, RefusesWhatTheFormatCannotHold) {
  const PlanOutput bad[] = {output("a", DType::kC128, {1}, 16), output("a", DType::kF4E2M1, {3}, 2),
                            output("__metadata__", DType::kU8, {1}, 1),
                            output("\xff", DType::kU8, {1}, 1), output("a", DType::kU8, {2}, 1)};
  for (const PlanOutput& row : bad) {
    Plan plan;
    plan.outputs = {row};
    EXPECT_FALSE(make_safetensors_sink({})->layout(plan)) << row.name;
  }
  Plan twice;
  twice.outputs = {output("a", DType::kU8, {1}, 1), output("a", DType::kU8, {1}, 1)};
  EXPECT_FALSE(make_safetensors_sink({})->layout(twice));
}

TEST(SafetensorsSink, StoresForeignDtypesAsBytesAndSaysSo) {
  Plan plan;
  plan.outputs = {output("a", DType::kC128, {2, 1}, 32), output("b", DType::kF32, {1}, 4)};
  formats::WriteOptions options;
  options.aliases = {{"c", "b"}};
  const auto files = make_safetensors_sink(options)->layout(plan);
  ASSERT_TRUE(files) << files.error().text();
  ASSERT_EQ(files->size(), 2U);
  EXPECT_EQ((*files)[0].name, "model.state.json");
  EXPECT_EQ((*files)[0].segments[0].literal, R"({
  "format": "kilter-state",
  "version": 1,
  "tensors": {
    "a": {"dtype": "c128", "shape": [2, 1]},
    "c": {"view_of": "b"}
  }
}
)");
  EXPECT_NE(header_of((*files)[1]).find(R"("a":{"dtype":"U8","shape":[32])"), std::string::npos);
}

TEST(ShardPlan, KeepsOrderAndIsolatesWhatIsTooLarge) {
  const std::vector<std::uint64_t> sizes = {3, 4, 3, 1, 11, 2, 10};
  const std::vector<std::vector<std::size_t>> expected = {{0, 1, 2}, {4}, {3, 5}, {6}};
  EXPECT_EQ(formats::plan_shards(sizes, 10), expected);
  EXPECT_EQ(formats::plan_shards(sizes, 0).size(), 1U);
  EXPECT_EQ(formats::plan_shards({}, 10), (std::vector<std::vector<std::size_t>>{{}}));
}

}  // namespace
}  // namespace kilter::safetensors
