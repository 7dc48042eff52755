#include "flow/read_into.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "flow/engine_test_support.h"
#include "flow/load.h"
#include "flow/memory_source.h"
#include "io/io_test_support.h"
#include "io/memory_file_system.h"
#include "io/page_cache.h"

namespace kilter::flow {
namespace {

using io::succeeded;

/// Storages of odd sizes, one behind the other; one big-endian, one with a transposed view.
TensorIndex put_tensors(io::FileSystem& files, const std::string& path) {
  std::mt19937_64 random(11);
  std::string content;
  TensorIndex index;
  const auto add = [&](std::uint64_t bytes, bool big_endian) {
    StorageInfo storage;
    storage.offset_bytes = content.size();
    storage.bytes = storage.stored_bytes = bytes;
    storage.big_endian = big_endian;
    TensorInfo tensor;
    tensor.name = std::string("t").append(std::to_string(index.tensors.size()));
    tensor.dtype = DType::kF32;
    tensor.storage = static_cast<std::uint32_t>(index.storages.size());
    tensor.shape = {static_cast<std::int64_t>(bytes / 4)};
    tensor.strides = {1};
    for (std::uint64_t i = 0; i < bytes; i += 4) {
      const auto word = static_cast<std::uint32_t>(random());
      content.append(reinterpret_cast<const char*>(&word), 4);
    }
    index.storages.push_back(storage);
    index.tensors.push_back(tensor);
  };
  for (const std::uint64_t bytes : {4ULL, 10'000'000ULL, 4096ULL, 12ULL, 5'000'000ULL, 600'000ULL})
    add(bytes, false);
  add(80'000, true);
  TensorInfo turned = index.tensors[5];
  turned.name = "turned";
  turned.shape = {500, 300};
  turned.strides = {1, 500};
  index.tensors.push_back(turned);
  content += "behind";
  test::write_file(files, path, content);
  index.files = {{"weights", content.size()}};
  EXPECT_TRUE(index.validate().has_value());
  return index;
}

using Memory = std::vector<std::vector<std::byte>>;

std::vector<IntoTarget> targets_for(const TensorIndex& index, Memory* memory) {
  std::vector<IntoTarget> targets;
  memory->resize(index.tensors.size());
  for (std::size_t i = 0; i < index.tensors.size(); ++i) {
    (*memory)[i].resize(index.tensors[i].bytes());
    targets.push_back({i, (*memory)[i]});
  }
  std::reverse(targets.begin(), targets.end());
  return targets;
}

void expect_filled(const Source& source, const Memory& memory) {
  for (std::size_t i = 0; i < memory.size(); ++i) {
    std::vector<std::byte> want(memory[i].size());
    ASSERT_TRUE(source.read_tensor(i, 0, want).has_value());
    EXPECT_TRUE(memory[i] == want) << i;
  }
}

class ReadInto : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    index_ = put_tensors(io::real_file_system(), folder_ / "weights");
    if (GetParam()) {
      auto file = io::real_file_system().open_read(folder_ / "weights");
      ASSERT_TRUE(file.has_value());
      ASSERT_TRUE(io::drop_page_cache(**file).has_value());
    }
    source_ = make_file_source(io::real_file_system(), folder_ / "weights", false, index_);
  }
  io::TempFolder folder_;
  TensorIndex index_;
  std::shared_ptr<Source> source_;
};

TEST_P(ReadInto, FillsEveryTarget) {
  Memory memory;
  const auto targets = targets_for(index_, &memory);
  ASSERT_OK(read_into(*source_, targets, {}, {}));
  expect_filled(*source_, memory);
}

TEST_P(ReadInto, ComparesChecksumsOfWholeStorages) {
  std::vector<std::byte> bytes(index_.storages[1].bytes);
  ASSERT_OK(source_->read_storage(1, DType::kU8, 0, bytes));
  TensorIndex stated = index_;
  stated.storages[1].crc32 = 0x12345678;
  const auto wrong = make_file_source(io::real_file_system(), folder_ / "weights", false, stated);
  Memory memory;
  const auto targets = targets_for(index_, &memory);
  const Status found = read_into(*wrong, targets, {}, {});
  ASSERT_FALSE(found.has_value());
  EXPECT_EQ(found.error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(found.error().tensor, "t1");
  stated.storages[1].crc32 = static_cast<std::uint32_t>(std::stoul(found.error().found));
  const auto right = make_file_source(io::real_file_system(), folder_ / "weights", false, stated);
  EXPECT_OK(read_into(*right, targets, {}, {}));
  IntoOptions unchecked;
  unchecked.verify = false;
  EXPECT_OK(read_into(*wrong, targets, unchecked, {}));
}

TEST_P(ReadInto, RefusesTargetsOfAnotherSize) {
  std::vector<std::byte> small(8);
  const std::vector<IntoTarget> targets = {{1, small}};
  EXPECT_EQ(io::code_of(read_into(*source_, targets, {}, {})), ErrorCode::kInvalidArgument);
  const std::vector<IntoTarget> unknown = {{99, small}};
  EXPECT_EQ(io::code_of(read_into(*source_, unknown, {}, {})), ErrorCode::kInvalidArgument);
}

TEST_P(ReadInto, StopsWhenCancelled) {
  CancelToken token;
  token.cancel();
  Memory memory;
  const auto targets = targets_for(index_, &memory);
  EXPECT_EQ(io::code_of(read_into(*source_, targets, {}, {nullptr, &token})),
            ErrorCode::kCancelled);
}

INSTANTIATE_TEST_SUITE_P(Disk, ReadInto, testing::Bool(), [](const auto& one) {
  return one.param ? std::string("Cold") : std::string("Warm");
});

TEST(ReadIntoMemory, ComesFromSourcesWithoutDescriptors) {
  auto files = io::make_memory_file_system();
  const TensorIndex index = put_tensors(*files, "weights");
  const auto source = make_file_source(*files, "weights", false, index);
  Memory memory;
  const auto targets = targets_for(index, &memory);
  ASSERT_OK(read_into(*source, targets, {}, {}));
  expect_filled(*source, memory);
}

TEST(LoadStorages, GivesWholeStoragesInTheMachinesOrder) {
  io::TempFolder folder;
  const TensorIndex index = put_tensors(io::real_file_system(), folder / "weights");
  const auto source = make_file_source(io::real_file_system(), folder / "weights", false, index);
  for (const LoadMode mode : {LoadMode::kRead, LoadMode::kMap}) {
    const auto loaded = load_storages(source, mode, {}, MapAccess::kCopyOnWrite);
    ASSERT_OK(loaded);
    for (std::size_t i = 0; i < index.storages.size(); ++i) {
      std::vector<std::byte> want(index.storages[i].bytes);
      ASSERT_OK(source->read_storage(i, DType::kF32, 0, want));
      const Bytes found = (*loaded)->bytes(i);
      ASSERT_EQ(found.size(), want.size());
      EXPECT_TRUE(std::ranges::equal(found, want)) << i;
    }
    // What is written stays here.
    const_cast<std::byte&>((*loaded)->bytes(0)[0]) ^= std::byte{0xff};
    std::vector<std::byte> again(4);
    ASSERT_OK(source->read_storage(0, DType::kF32, 0, again));
    EXPECT_NE((*loaded)->bytes(0)[0], again[0]);
  }
}

TEST(MemorySource, ReadsLiveMemoryLikeAFile) {
  std::vector<float> a = {1, 2, 3, 4, 5, 6};
  const std::vector<std::uint8_t> b = {7, 8, 9};
  TensorIndex index;
  index.storages.resize(3);
  index.tensors.resize(3);
  index.tensors[0] = {.name = "a", .dtype = DType::kF32, .shape = {3, 2}, .strides = {1, 3}};
  index.tensors[1] = {.name = "none", .dtype = DType::kF32, .shape = {0}, .strides = {1}};
  index.tensors[1].storage = 1;
  index.tensors[2] = {.name = "b", .dtype = DType::kU8, .shape = {2}, .strides = {1}};
  index.tensors[2].storage = 2;
  index.tensors[2].offset_elements = 1;
  const auto source = make_memory_source(
      index, {std::as_bytes(std::span(a)), {}, std::as_bytes(std::span(b))}, "live");
  ASSERT_OK(source);
  std::vector<float> turned(6);
  ASSERT_OK((*source)->read_tensor(0, 0, std::as_writable_bytes(std::span(turned))));
  EXPECT_THAT(turned, testing::ElementsAre(1, 4, 2, 5, 3, 6));
  std::vector<std::uint8_t> tail(2);
  ASSERT_OK((*source)->read_tensor(2, 0, std::as_writable_bytes(std::span(tail))));
  EXPECT_THAT(tail, testing::ElementsAre(8, 9));
  a[0] = 10;
  ASSERT_OK((*source)->read_tensor(0, 0, std::as_writable_bytes(std::span(turned))));
  EXPECT_EQ(turned[0], 10);
  std::vector<std::byte> whole(27);
  EXPECT_OK((*source)->read_file(0, 0, whole));
}

TEST(MemorySource, RefusesViewsThatLeaveTheirMemory) {
  const std::vector<float> a = {1, 2};
  TensorIndex index;
  index.storages.resize(1);
  index.tensors = {{.name = "a", .dtype = DType::kF32, .shape = {3}, .strides = {1}}};
  EXPECT_EQ(io::code_of(make_memory_source(index, {std::as_bytes(std::span(a))}, "live")),
            ErrorCode::kMalformed);
  EXPECT_EQ(io::code_of(make_memory_source(index, {}, "live")), ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace kilter::flow
