#include "flow/load.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "flow/engine_test_support.h"
#include "io/fault_file_system.h"
#include "io/io_test_support.h"
#include "io/memory_file_system.h"
#include "io/page_cache.h"

namespace kilter {
namespace {

/// Two files; tensors that lie raw, far apart, transposed, shared, empty and big-endian.
TensorIndex put_model(io::FileSystem& files, const std::string& root) {
  std::mt19937_64 random(5);
  TensorIndex index;
  for (unsigned f = 0; f < 2; ++f) {
    std::string content(9'000'000 + f * 777, '\0');
    for (std::size_t i = 0; i + 8 <= content.size(); i += 8) {
      const std::uint64_t word = random();
      std::memcpy(content.data() + i, &word, 8);
    }
    const std::string name = std::string("shard-").append(std::to_string(f));
    test::write_file(files, root + "/" + name, content);
    index.files.push_back({name, content.size()});
    StorageInfo storage;
    storage.file = f;
    storage.offset_bytes = 1234;
    storage.stored_bytes = storage.bytes = content.size() - 1234;
    storage.big_endian = false;
    index.storages.push_back(storage);
    storage.big_endian = true;
    index.storages.push_back(storage);
  }
  const auto add = [&](std::uint32_t storage, DType dtype, std::vector<std::int64_t> shape,
                       std::vector<std::int64_t> strides, std::uint64_t offset) {
    TensorInfo tensor;
    tensor.name = std::string("t").append(std::to_string(index.tensors.size()));
    tensor.storage = storage;
    tensor.dtype = dtype;
    tensor.shape = std::move(shape);
    tensor.strides = std::move(strides);
    tensor.offset_elements = offset;
    index.tensors.push_back(tensor);
  };
  add(0, DType::kF32, {1000, 2000}, {2000, 1}, 10);
  add(0, DType::kF32, {2000, 1000}, {1, 2000}, 10);
  add(0, DType::kU8, {100}, {1}, 8'500'000);
  add(0, DType::kF32, {10, 10}, {10, 1}, 500);            // inside the first
  add(2, DType::kBF16, {4'500'000 - 617 + 388}, {1}, 0);  // to the very end
  add(3, DType::kBF16, {1'000'000}, {1}, 3);
  add(2, DType::kF64, {0, 5}, {5, 1}, 0);
  add(2, DType::kF16, {}, {}, 7);
  EXPECT_TRUE(index.validate().has_value());
  return index;
}

void expect_loaded(const Source& source, const LoadedTensors& loaded) {
  for (std::size_t i = 0; i < source.index().tensors.size(); ++i) {
    std::vector<std::byte> want(source.index().tensors[i].bytes());
    ASSERT_TRUE(source.read_tensor(i, 0, want).has_value());
    const Bytes found = loaded.bytes(i);
    ASSERT_EQ(found.size(), want.size()) << i;
    EXPECT_TRUE(std::ranges::equal(found, want)) << i;
  }
}

class LoadModes : public ::testing::TestWithParam<LoadMode> {};

TEST_P(LoadModes, GivesEveryTensorFromARealDisk) {
  io::TempFolder folder;
  auto source = make_file_source(io::real_file_system(), folder.path(), true,
                                 put_model(io::real_file_system(), folder.path()));
  const auto loaded = load_tensors(source, GetParam(), {});
  ASSERT_TRUE(loaded.has_value()) << loaded.error().text();
  expect_loaded(*source, **loaded);
  if (GetParam() == LoadMode::kAuto) return;
  EXPECT_EQ((*loaded)->mode(), GetParam());
}

TEST_P(LoadModes, GivesEveryTensorWhereNothingCanBeMapped) {
  auto files = io::make_memory_file_system();
  ASSERT_TRUE(files->make_folder("root").has_value());
  auto source = make_file_source(*files, "root", true, put_model(*files, "root"));
  const auto loaded = load_tensors(source, GetParam(), {});
  ASSERT_TRUE(loaded.has_value()) << loaded.error().text();
  expect_loaded(*source, **loaded);
  EXPECT_EQ((*loaded)->mode(), LoadMode::kRead);
}

INSTANTIATE_TEST_SUITE_P(All, LoadModes,
                         ::testing::Values(LoadMode::kAuto, LoadMode::kMap, LoadMode::kRead));

TEST(Load, ReadsFromADiskThatNothingCached) {
  io::TempFolder folder;
  const TensorIndex index = put_model(io::real_file_system(), folder.path());
  for (const FileEntry& entry : index.files) {
    auto file = io::real_file_system().open_read(folder.path() + "/" + entry.path);
    ASSERT_TRUE(file.has_value());
    ASSERT_TRUE(io::drop_page_cache(**file).has_value());
  }
  auto source = make_file_source(io::real_file_system(), folder.path(), true, index);
  const auto loaded = load_tensors(source, LoadMode::kAuto, {});
  ASSERT_TRUE(loaded.has_value()) << loaded.error().text();
  expect_loaded(*source, **loaded);
}

/// [2000, 1500] of f32 in two files, cut along dimension `dim`; tensor 0 is all of it.
TensorIndex put_pieces(const std::string& root, std::size_t dim) {
  std::mt19937_64 random(11);
  TensorIndex index;
  auto assembly = std::make_shared<Assembly>(Assembly{DType::kF32, {2000, 1500}, {}});
  for (std::uint32_t f = 0; f < 2; ++f) {
    std::string content(6'000'000 + 777, '\0');
    for (char& c : content) c = static_cast<char>(random());
    const std::string name = std::string("rank-").append(std::to_string(f));
    test::write_file(io::real_file_system(), root + "/" + name, content);
    index.files.push_back({name, content.size()});
    StorageInfo storage;
    storage.file = f;
    storage.offset_bytes = 777;
    storage.stored_bytes = storage.bytes = 6'000'000;
    index.storages.push_back(storage);
    Piece piece{{0, 0}, {2000, 1500}, f, 0, {}};
    piece.sizes[dim] /= 2;
    piece.offsets[dim] = f * piece.sizes[dim];
    piece.strides = contiguous_strides(piece.sizes);
    assembly->pieces.push_back(std::move(piece));
  }
  StorageInfo whole;
  whole.coding = StorageCoding::kPieces;
  whole.bytes = 12'000'000;
  whole.assembly = std::move(assembly);
  index.storages.push_back(std::move(whole));
  TensorInfo tensor;
  tensor.name = "w";
  tensor.shape = {2000, 1500};
  tensor.strides = {1500, 1};
  tensor.storage = 2;
  index.tensors.push_back(std::move(tensor));
  EXPECT_TRUE(index.validate().has_value());
  return index;
}

TEST(Load, FillsRangesOfPiecesThatNothingCached) {
  for (const std::size_t dim : {0U, 1U}) {
    io::TempFolder folder;
    const TensorIndex index = put_pieces(folder.path(), dim);
    auto source = make_file_source(io::real_file_system(), folder.path(), true, index);
    std::vector<std::byte> want(12'000'000), out(12'000'000);
    ASSERT_TRUE(source->read_tensor(0, 0, want).has_value());
    for (const FileEntry& entry : index.files) {
      auto file = io::real_file_system().open_read(folder.path() + "/" + entry.path);
      ASSERT_TRUE(file.has_value());
      ASSERT_TRUE(io::drop_page_cache(**file).has_value());
    }
    // Borders inside pieces, inside elements and beyond jobs.
    const auto all = std::span(out);
    const TensorRange ranges[] = {{0, 0, all.first(3)},
                                  {0, 3, all.subspan(3, 4'999'999)},
                                  {0, 5'000'002, all.subspan(5'000'002)}};
    const Status status = read_ranges(source, ranges, {});
    ASSERT_TRUE(status.has_value()) << status.error().text();
    EXPECT_TRUE(out == want) << dim;
    const TensorRange past[] = {{0, 11'999'999, all.first(2)}};
    EXPECT_EQ(read_ranges(source, past, {}).error().code, ErrorCode::kOutOfRange);
    const TensorRange none[] = {{1, 0, all.first(2)}};
    EXPECT_EQ(read_ranges(source, none, {}).error().code, ErrorCode::kOutOfRange);
  }
}

TEST(Load, StopsWhenCancelled) {
  auto files = io::make_memory_file_system();
  ASSERT_TRUE(files->make_folder("root").has_value());
  auto source = make_file_source(*files, "root", true, put_model(*files, "root"));
  CancelToken token;
  token.cancel();
  const auto loaded = load_tensors(source, LoadMode::kRead, {nullptr, &token});
  ASSERT_FALSE(loaded.has_value());
  EXPECT_EQ(loaded.error().code, ErrorCode::kCancelled);
}

TEST(Load, RefusesTensorsThatNoMemoryHolds) {
  auto files = io::make_memory_file_system();
  files->put("root/a", "abcdefgh");
  TensorIndex index;
  index.files.push_back({"a", 8});
  StorageInfo storage;
  storage.bytes = storage.stored_bytes = 8;
  index.storages.push_back(storage);
  TensorInfo tensor;
  tensor.name = "bomb";
  tensor.dtype = DType::kU8;
  tensor.shape = {1LL << 50};
  tensor.strides = {0};
  index.tensors = {tensor, tensor};
  ASSERT_TRUE(index.validate().has_value());
  const auto loaded =
      load_tensors(make_file_source(*files, "root", true, index), LoadMode::kAuto, {});
  ASSERT_FALSE(loaded.has_value());
  EXPECT_EQ(loaded.error().code, ErrorCode::kLimitExceeded);
}

TEST(Load, ReturnsTheErrorOfAnyReadThatFails) {
  auto files = io::make_memory_file_system();
  ASSERT_TRUE(files->make_folder("root").has_value());
  const TensorIndex index = put_model(*files, "root");
  auto faulty = io::make_fault_file_system(*files);
  std::uint64_t errors = 0;
  for (std::uint64_t call = 0; call < 12; ++call) {
    auto source = make_file_source(*faulty, "root", true, index);
    faulty->fail_at(faulty->call_count() + call, io::Fault::kIoError);
    const auto loaded = load_tensors(source, LoadMode::kRead, {});
    faulty->fail_at(~std::uint64_t{0}, io::Fault::kNone);
    if (loaded) continue;
    EXPECT_EQ(loaded.error().code, ErrorCode::kIo);
    ++errors;
  }
  EXPECT_GE(errors, 8U);
}

}  // namespace
}  // namespace kilter
