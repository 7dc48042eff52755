#include "formats/merge_data.h"

#include <gtest/gtest.h>

namespace kilter::formats {
namespace {

/// Eight bytes in two halves, and the tensor they make.
CheckpointData data_in_pieces() {
  CheckpointData data;
  data.index.files.push_back({"part", 8});
  auto assembly = std::make_shared<Assembly>(Assembly{DType::kU8, {8}, {}});
  for (std::uint32_t half = 0; half < 2; ++half) {
    StorageInfo storage;
    storage.offset_bytes = 4U * half;
    storage.bytes = storage.stored_bytes = 4;
    data.index.storages.push_back(storage);
    assembly->pieces.push_back({{4 * half}, {4}, half, 0, {1}});
  }
  StorageInfo whole;
  whole.coding = StorageCoding::kPieces;
  whole.bytes = 8;
  whole.assembly = std::move(assembly);
  data.index.storages.push_back(std::move(whole));
  TensorInfo tensor;
  tensor.name = "w";
  tensor.dtype = DType::kU8;
  tensor.shape = {8};
  tensor.strides = {1};
  tensor.storage = 2;
  data.index.tensors.push_back(std::move(tensor));
  return data;
}

TEST(MergeData, MovesThePiecesOfATensorWithIt) {
  CheckpointData data = data_in_pieces();
  append_data(data_in_pieces(), "second.", true, &data);
  ASSERT_TRUE(data.index.validate().has_value());
  ASSERT_EQ(data.index.tensors.size(), 2U);
  const TensorInfo& second = data.index.tensors[1];
  EXPECT_EQ(second.name, "second.w");
  const StorageInfo& whole = data.index.storages[second.storage];
  EXPECT_EQ(whole.file, 1U);
  EXPECT_EQ(whole.assembly->pieces[0].storage, 3U);
  EXPECT_EQ(whole.assembly->pieces[1].storage, 4U);
  EXPECT_EQ(data.index.storages[2].assembly->pieces[1].storage, 1U);
}

}  // namespace
}  // namespace kilter::formats
