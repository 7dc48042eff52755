#include "flow/blocks.h"

#include <gtest/gtest.h>

#include <string>

#include "io/fault_file_system.h"
#include "io/memory_file_system.h"

namespace kilter {
namespace {

std::string numbered(std::size_t bytes) {
  std::string out(bytes, '\0');
  for (std::size_t i = 0; i < bytes; ++i) out[i] = static_cast<char>(i * 7 + i / 251);
  return out;
}

/// The file's blocks put together again, with their offsets checked on the way.
Result<std::string> read_all(const io::ReadFile& file, std::size_t block_bytes,
                             const RunContext& context = {}, std::uint64_t* done = nullptr) {
  std::string out;
  const Status status = for_each_block(
      file, context,
      [&](std::uint64_t offset, Bytes block) {
        EXPECT_EQ(offset, out.size());
        EXPECT_LE(block.size(), block_bytes);
        out += as_text(block);
        return ok();
      },
      done, block_bytes);
  if (!status) return fail(status.error());
  return out;
}

TEST(Blocks, GiveEveryByteOnceInOrder) {
  const auto files = io::make_memory_file_system();
  for (const std::size_t bytes : {0U, 1U, 99U, 100U, 101U, 200U, 1234U}) {
    const std::string content = numbered(bytes);
    files->put("/f", content);
    const auto file = files->open_read("/f");
    ASSERT_TRUE(file);
    std::uint64_t done = 5;
    const auto found = read_all(**file, 100, {}, &done);
    ASSERT_TRUE(found) << found.error().text();
    EXPECT_EQ(*found, content);
    EXPECT_EQ(done, 5 + bytes);
  }
}

TEST(Blocks, StopAtWhatTheUserReturns) {
  const auto files = io::make_memory_file_system();
  files->put("/f", numbered(1000));
  const auto file = files->open_read("/f");
  int calls = 0;
  const Status status = for_each_block(
      **file, {},
      [&](std::uint64_t, Bytes) -> Status {
        if (++calls == 3) return fail(ErrorCode::kCorrupt, "enough");
        return ok();
      },
      nullptr, 100);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(calls, 3);
}

TEST(Blocks, ReportEachFailedRead) {
  const auto memory = io::make_memory_file_system();
  memory->put("/f", numbered(1000));
  const auto files = io::make_fault_file_system(*memory);
  const auto file = files->open_read("/f");
  ASSERT_TRUE(file);
  const std::uint64_t before = files->call_count();
  ASSERT_TRUE(read_all(**file, 100));
  const std::uint64_t calls = files->call_count() - before;
  ASSERT_GE(calls, 10U);
  for (std::uint64_t i = 0; i < calls; ++i) {
    files->fail_at(files->call_count() + i, io::Fault::kIoError);
    const auto found = read_all(**file, 100);
    ASSERT_FALSE(found) << "call " << i;
    EXPECT_EQ(found.error().code, ErrorCode::kIo);
    files->fail_at(0, io::Fault::kNone);
  }
}

TEST(Blocks, StopWhenCancelled) {
  const auto files = io::make_memory_file_system();
  files->put("/f", numbered(1000));
  const auto file = files->open_read("/f");
  CancelToken token;
  token.cancel();
  RunContext context;
  context.cancel = &token;
  const auto found = read_all(**file, 100, context);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, ErrorCode::kCancelled);
}

/// Four tensors of one byte type in one storage: 0 and 1 alike, 2 different at its end, 3 shorter.
std::shared_ptr<Source> four_tensors(io::MemoryFileSystem& files, std::size_t bytes) {
  const std::string content = numbered(bytes);
  std::string other = content;
  if (!other.empty()) other.back() ^= 1;
  files.put("/f", content + content + other);
  TensorIndex index;
  index.files = {{"f", 3 * bytes}};
  StorageInfo storage;
  storage.bytes = storage.stored_bytes = 3 * bytes;
  index.storages = {storage};
  for (std::size_t i = 0; i < 4; ++i) {
    TensorInfo tensor;
    tensor.name = std::string("t").append(std::to_string(i));
    tensor.dtype = DType::kU8;
    tensor.shape = {static_cast<std::int64_t>(i == 3 ? bytes - 1 : bytes)};
    tensor.strides = {1};
    tensor.offset_elements = i == 3 ? 0 : i * bytes;
    index.tensors.push_back(tensor);
  }
  return make_file_source(files, "/f", false, std::move(index));
}

TEST(EqualTensors, ComparesEveryByte) {
  for (const std::size_t bytes : {std::size_t{1}, std::size_t{5000}, (std::size_t{2} << 20) + 1}) {
    const auto files = io::make_memory_file_system();
    const auto source = four_tensors(*files, bytes);
    const auto equal = [&](std::size_t a, std::size_t b) {
      const auto found = equal_tensors(*source, a, b, {});
      EXPECT_TRUE(found) << found.error().text();
      return found.value_or(false);
    };
    EXPECT_TRUE(equal(0, 0));
    EXPECT_TRUE(equal(0, 1));
    EXPECT_FALSE(equal(0, 2));
    EXPECT_FALSE(equal(0, 3));
  }
}

}  // namespace
}  // namespace kilter
