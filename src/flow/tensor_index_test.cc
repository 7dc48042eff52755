#include "kilter/tensor_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

namespace kilter {
namespace {

using ::testing::HasSubstr;

constexpr std::int64_t kHuge = std::numeric_limits<std::int64_t>::max();

/// One file of 100 bytes, one raw storage [20, 84), one f32 tensor [4, 4] that fills it.
TensorIndex sound_index() {
  TensorIndex index;
  index.files.push_back({"model.bin", 100});
  StorageInfo storage;
  storage.offset_bytes = 20;
  storage.stored_bytes = storage.bytes = 64;
  storage.name = "data/0";
  index.storages.push_back(storage);
  TensorInfo tensor;
  tensor.name = "w";
  tensor.shape = {4, 4};
  tensor.strides = {4, 1};
  index.tensors.push_back(tensor);
  return index;
}

Error error_of(const TensorIndex& index) {
  const Status status = index.validate();
  EXPECT_FALSE(status.has_value());
  return status ? Error() : status.error();
}

TEST(TensorIndex, AcceptsAViewThatEndsWithItsStorage) {
  EXPECT_TRUE(sound_index().validate().has_value());
}

TEST(TensorIndex, NamesTensorOffsetAndSizesOfAViewThatReachesTooFar) {
  TensorIndex index = sound_index();
  index.tensors[0].offset_elements = 1;
  const Error error = error_of(index);
  EXPECT_EQ(error.code, ErrorCode::kMalformed);
  EXPECT_EQ(error.path, "model.bin");
  EXPECT_EQ(error.tensor, "w");
  EXPECT_EQ(error.offset_bytes, 24U);
  EXPECT_EQ(error.expected, "a storage of at least 68 bytes");
  EXPECT_EQ(error.found, "64 bytes");
}

TEST(TensorIndex, CountsTheLastElementOfStridedViews) {
  TensorIndex index = sound_index();
  TensorInfo& tensor = index.tensors[0];
  tensor.shape = {2, 3};
  tensor.strides = {1, 7};  // last element at 1 + 14 = 15
  EXPECT_TRUE(index.validate().has_value());
  tensor.offset_elements = 1;
  EXPECT_EQ(error_of(index).expected, "a storage of at least 68 bytes");
  tensor.offset_elements = 0;
  tensor.strides = {0, 0};  // broadcast of one element
  tensor.shape = {1 << 20, 1 << 20};
  EXPECT_TRUE(index.validate().has_value());
}

TEST(TensorIndex, RefusesNumbersThatOverflow) {
  for (const auto& [shape, strides, offset] :
       std::vector<std::tuple<std::vector<std::int64_t>, std::vector<std::int64_t>, std::uint64_t>>{
           {{kHuge, kHuge}, {1, 1}, 0},
           {{kHuge}, {0}, 0},
           {{1LL << 32, 1LL << 32}, {0, 0}, 0},
           {{2}, {kHuge}, 0},
           {{3}, {kHuge}, 0},
           {{1}, {1}, std::numeric_limits<std::uint64_t>::max()},
           {{2, 2}, {kHuge, kHuge}, 1ULL << 63}}) {
    TensorIndex index = sound_index();
    index.tensors[0].shape = shape;
    index.tensors[0].strides = strides;
    index.tensors[0].offset_elements = offset;
    EXPECT_EQ(error_of(index).code, ErrorCode::kMalformed) << ::testing::PrintToString(shape);
  }
}

TEST(TensorIndex, RefusesNegativeSizesAndStridesAndMissingStrides) {
  TensorIndex index = sound_index();
  index.tensors[0].shape = {-1, 4};
  EXPECT_THAT(error_of(index).message, HasSubstr("negative"));
  index = sound_index();
  index.tensors[0].strides = {4, -1};
  EXPECT_THAT(error_of(index).message, HasSubstr("negative"));
  index = sound_index();
  index.tensors[0].strides = {1};
  EXPECT_THAT(error_of(index).message, HasSubstr("differ in length"));
}

TEST(TensorIndex, LetsEmptyTensorsLieAnywhere) {
  TensorIndex index = sound_index();
  index.tensors[0].shape = {kHuge, 0, kHuge};
  index.tensors[0].strides = {kHuge, 1, 1};
  index.tensors[0].offset_elements = 1ULL << 63;
  EXPECT_TRUE(index.validate().has_value());
  EXPECT_EQ(index.tensors[0].element_count(), 0U);
  EXPECT_EQ(index.tensors[0].bytes(), 0U);
}

TEST(TensorIndex, RefusesStoragesOutsideTheirFile) {
  TensorIndex index = sound_index();
  index.storages[0].offset_bytes = 37;
  Error error = error_of(index);
  EXPECT_EQ(error.path, "model.bin");
  EXPECT_EQ(error.offset_bytes, 37U);
  EXPECT_EQ(error.expected, "bytes [37, 101)");
  EXPECT_EQ(error.found, "a file of 100 bytes");
  index.storages[0].offset_bytes = std::numeric_limits<std::uint64_t>::max();
  EXPECT_EQ(error_of(index).code, ErrorCode::kMalformed);
  index = sound_index();
  index.storages[0].file = 1;
  EXPECT_THAT(error_of(index).message, HasSubstr("no file"));
  index = sound_index();
  index.tensors[0].storage = 1;
  EXPECT_THAT(error_of(index).message, HasSubstr("not there"));
}

TEST(TensorIndex, RefusesRawStoragesOfTwoSizesAndImpossibleExpansion) {
  TensorIndex index = sound_index();
  index.storages[0].bytes = 65;
  EXPECT_THAT(error_of(index).message, HasSubstr("two sizes"));
  index.storages[0].coding = StorageCoding::kDeflate;
  EXPECT_TRUE(index.validate().has_value());
  index.storages[0].bytes = 64 * 1032 + 1;
  EXPECT_THAT(error_of(index).message, HasSubstr("DEFLATE"));
  index.storages[0].bytes = std::numeric_limits<std::uint64_t>::max();
  EXPECT_THAT(error_of(index).message, HasSubstr("DEFLATE"));
}

TEST(TensorIndex, HoldsInlineStoragesToTheirDecodedBytes) {
  TensorIndex index = sound_index();
  index.storages[0].coding = StorageCoding::kInline;
  index.storages[0].stored_bytes = 80;  // hexadecimal text in a header, say
  EXPECT_THAT(error_of(index).message, HasSubstr("decoded to another size"));
  index.storages[0].inline_bytes =
      std::make_shared<const std::vector<std::byte>>(std::size_t{64}, std::byte{7});
  EXPECT_TRUE(index.validate().has_value());
}

TEST(TensorIndex, CountsElementsNarrowerThanAByte) {
  TensorIndex index = sound_index();
  TensorInfo& tensor = index.tensors[0];
  tensor.dtype = DType::kF4E2M1;
  tensor.shape = {8, 16};
  tensor.strides = {16, 1};
  EXPECT_TRUE(index.validate().has_value());
  EXPECT_EQ(tensor.bytes(), 64U);
  tensor.shape = {129};
  tensor.strides = {1};
  EXPECT_EQ(tensor.bytes(), 65U);
  EXPECT_EQ(error_of(index).expected, "a storage of at least 65 bytes");
  tensor.shape = {16, 8};
  tensor.strides = {1, 16};
  EXPECT_THAT(error_of(index).message, HasSubstr("narrower than a byte"));
  tensor.shape = {8};
  tensor.strides = {1};
  tensor.offset_elements = 1;
  EXPECT_THAT(error_of(index).message, HasSubstr("inside a byte"));
  tensor.dtype = DType::kF6E2M3;
  tensor.shape = {4};
  tensor.offset_elements = 4;
  EXPECT_TRUE(index.validate().has_value());
  EXPECT_EQ(tensor.bytes(), 3U);
}

TEST(TensorIndex, KnowsContiguousViews) {
  TensorInfo tensor;
  tensor.shape = {2, 1, 3};
  tensor.strides = {3, 99, 1};
  EXPECT_TRUE(tensor.contiguous());
  tensor.strides = {4, 1, 1};
  EXPECT_FALSE(tensor.contiguous());
  EXPECT_EQ(contiguous_strides({2, 1, 3}), (std::vector<std::int64_t>{3, 3, 1}));
  EXPECT_EQ(contiguous_strides({}), std::vector<std::int64_t>{});
  EXPECT_EQ(TensorInfo().element_count(), 1U);
}

TEST(TensorIndex, FindsByName) {
  const TensorIndex index = sound_index();
  EXPECT_EQ(index.find("w"), 0U);
  EXPECT_EQ(index.find("v"), std::nullopt);
}

}  // namespace
}  // namespace kilter
