#include "flow/source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <thread>

#include "io/memory_file_system.h"

namespace kilter {
namespace {

using ::testing::HasSubstr;
using Random = std::mt19937_64;

std::string random_bytes(Random& random, std::size_t count) {
  std::string out(count, '\0');
  for (char& c : out) c = static_cast<char>(random() % 7 == 0 ? random() : random() % 4);
  return out;
}

std::string deflated(const std::string& plain) {
  z_stream z{};
  EXPECT_EQ(deflateInit2(&z, 6, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(deflateBound(&z, plain.size()) + 16, '\0');
  std::string copy = plain;
  z.next_in = reinterpret_cast<Bytef*>(copy.data());
  z.avail_in = static_cast<uInt>(copy.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&z, Z_FINISH), Z_STREAM_END);
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

std::uint32_t crc_of(const std::string& text) {
  return static_cast<std::uint32_t>(
      ::crc32_z(0, reinterpret_cast<const Bytef*>(text.data()), text.size()));
}

/// The contiguous form of a tensor, one element at a time.
std::string contiguous_form(const TensorInfo& tensor, const StorageInfo& storage,
                            const std::string& decoded) {
  const DTypeRow& row = dtype_row(tensor.dtype);
  const std::size_t bytes = row.bits / 8U;
  std::string out;
  const std::uint64_t count = tensor.element_count();
  for (std::uint64_t i = 0; i < count; ++i) {
    std::uint64_t rest = i, at = tensor.offset_elements;
    for (std::size_t d = tensor.shape.size(); d-- > 0;) {
      const auto size = static_cast<std::uint64_t>(tensor.shape[d]);
      at += rest % size * static_cast<std::uint64_t>(tensor.strides[d]);
      rest /= size;
    }
    std::string element = decoded.substr(at * bytes, bytes);
    if (storage.big_endian)
      for (std::size_t u = 0; u < bytes; u += row.swap_bytes)
        std::reverse(element.begin() + static_cast<std::ptrdiff_t>(u),
                     element.begin() + static_cast<std::ptrdiff_t>(u + row.swap_bytes));
    if (tensor.negative && tensor.dtype == DType::kF32) element[3] ^= '\x80';
    if (tensor.conjugate && tensor.dtype == DType::kC64) element[7] ^= '\x80';
    out += element;
  }
  return out;
}

struct Made {
  std::unique_ptr<io::MemoryFileSystem> files = io::make_memory_file_system();
  TensorIndex index;
  std::vector<std::string> decoded;  ///< by storage

  void add_storage(const std::string& content, StorageCoding coding, bool big_endian) {
    const std::string stored = coding == StorageCoding::kDeflate ? deflated(content) : content;
    StorageInfo storage;
    storage.file = static_cast<std::uint32_t>(index.files.size());
    storage.offset_bytes = 11;
    storage.stored_bytes = stored.size();
    storage.bytes = content.size();
    storage.coding = coding;
    storage.big_endian = big_endian;
    if (coding == StorageCoding::kInline) {
      const auto* begin = reinterpret_cast<const std::byte*>(content.data());
      storage.inline_bytes =
          std::make_shared<const std::vector<std::byte>>(begin, begin + content.size());
    }
    if (coding == StorageCoding::kDeflate) storage.crc32 = crc_of(content);
    storage.name = std::string("s").append(std::to_string(storage.file));
    const std::string name = storage.name + ".bin";
    files->put("root/" + name, "eleven byte" + stored + "tail");
    index.files.push_back({name, stored.size() + 15});
    index.storages.push_back(storage);
    decoded.push_back(content);
  }
  std::shared_ptr<Source> source() {
    const Status status = index.validate();
    EXPECT_TRUE(status.has_value()) << (status ? "" : status.error().text());
    return make_file_source(*files, "root", true, index);
  }
  void add_tensor(TensorInfo tensor) {
    tensor.name = std::string("t").append(std::to_string(index.tensors.size()));
    index.tensors.push_back(std::move(tensor));
  }
};

TensorInfo random_view(Random& random, DType dtype, std::uint32_t storage, std::uint64_t bytes) {
  const std::uint64_t limit = bytes / (dtype_row(dtype).bits / 8U);
  while (true) {
    TensorInfo tensor;
    tensor.dtype = dtype;
    tensor.storage = storage;
    const std::size_t rank = random() % 5;
    for (std::size_t d = 0; d < rank; ++d)
      tensor.shape.push_back(static_cast<std::int64_t>(random() % (d < 2 ? 40 : 7)));
    tensor.strides = contiguous_strides(tensor.shape);
    std::shuffle(tensor.strides.begin(), tensor.strides.end(), random);
    for (auto& stride : tensor.strides)
      if (random() % 4 == 0) stride = static_cast<std::int64_t>(random() % 3000);
    tensor.offset_elements = random() % 5;
    std::uint64_t end = tensor.offset_elements + 1;
    for (std::size_t d = 0; d < rank; ++d)
      end += static_cast<std::uint64_t>(std::max<std::int64_t>(tensor.shape[d] - 1, 0) *
                                        tensor.strides[d]);
    if (end <= limit) return tensor;
  }
}

std::string read_range(const Source& source, std::size_t tensor, std::uint64_t offset,
                       std::size_t count, std::uint64_t scratch = 1 << 20) {
  std::string out(count, '?');
  const Status status =
      source.read_tensor(tensor, offset, std::as_writable_bytes(std::span(out)), scratch);
  EXPECT_TRUE(status.has_value()) << status.error().text();
  return out;
}

class SourceCodings : public ::testing::TestWithParam<std::tuple<StorageCoding, bool>> {};

TEST_P(SourceCodings, GivesAnyRangeOfAnyViewAsAReferenceDoes) {
  const auto [coding, big_endian] = GetParam();
  Random random(17);
  Made made;
  const DType dtypes[] = {DType::kU8,  DType::kF16, DType::kF32,
                          DType::kF64, DType::kC64, DType::kC128};
  made.add_storage(random_bytes(random, 200000), coding, big_endian);
  for (int i = 0; i < 60; ++i) {
    TensorInfo tensor = random_view(random, dtypes[random() % 6], 0, 200000);
    tensor.negative = tensor.dtype == DType::kF32 && random() % 2 == 0;
    tensor.conjugate = tensor.dtype == DType::kC64 && random() % 2 == 0;
    made.add_tensor(tensor);
  }
  const auto source = made.source();
  for (std::size_t i = 0; i < made.index.tensors.size(); ++i) {
    const TensorInfo& tensor = made.index.tensors[i];
    const std::string want = contiguous_form(tensor, made.index.storages[0], made.decoded[0]);
    ASSERT_EQ(want.size(), tensor.bytes());
    ASSERT_EQ(read_range(*source, i, 0, want.size()), want) << i;
    for (int k = 0; k < 4 && !want.empty(); ++k) {
      const std::size_t at = random() % want.size();
      const std::size_t count = random() % (want.size() - at + 1);
      ASSERT_EQ(read_range(*source, i, at, count), want.substr(at, count)) << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, SourceCodings,
                         ::testing::Combine(::testing::Values(StorageCoding::kRaw,
                                                              StorageCoding::kDeflate,
                                                              StorageCoding::kInline),
                                            ::testing::Bool()));

TEST(Source, TransposesMoreThanItsScratchHolds) {
  Random random(3);
  Made made;
  const std::int64_t rows = 1700, columns = 2311;  // 7.9 MB of u16
  made.add_storage(random_bytes(random, static_cast<std::size_t>(rows * columns * 2)),
                   StorageCoding::kRaw, false);
  TensorInfo tensor;
  tensor.dtype = DType::kU16;
  tensor.shape = {columns, rows};
  tensor.strides = {1, columns};
  made.add_tensor(tensor);
  const auto source = made.source();
  const std::string want = contiguous_form(tensor, made.index.storages[0], made.decoded[0]);
  EXPECT_TRUE(read_range(*source, 0, 0, want.size()) == want);
  EXPECT_TRUE(read_range(*source, 0, 12345, 3 << 20) == want.substr(12345, 3 << 20));
}

TEST(Source, SpreadsBroadcastElementsWithoutReadingMore) {
  Made made;
  made.add_storage("abcdefgh", StorageCoding::kRaw, false);
  TensorInfo tensor;
  tensor.dtype = DType::kU16;
  tensor.shape = {1000, 3, 1000};
  tensor.strides = {0, 1, 0};
  made.add_tensor(tensor);
  const std::string out = read_range(*made.source(), 0, 0, 6000000);
  EXPECT_EQ(out.substr(0, 4), "abab");
  EXPECT_EQ(out.substr(1998, 4), "abcd");
  EXPECT_EQ(out.substr(5999998), "ef");
}

TEST(Source, CopiesElementsNarrowerThanAByte) {
  Made made;
  made.add_storage("abcdefgh", StorageCoding::kRaw, false);
  TensorInfo tensor;
  tensor.dtype = DType::kF4E2M1;
  tensor.shape = {5};
  tensor.strides = {1};
  tensor.offset_elements = 4;
  made.add_tensor(tensor);
  EXPECT_EQ(read_range(*made.source(), 0, 0, 3), "cde");
  EXPECT_EQ(read_range(*made.source(), 0, 1, 2), "de");
}

TEST(Source, RefusesRangesThatAreNotThere) {
  Made made;
  made.add_storage("abcdefgh", StorageCoding::kRaw, false);
  TensorInfo tensor;
  tensor.shape = {2};
  tensor.strides = {1};
  made.add_tensor(tensor);
  const auto source = made.source();
  std::byte out[8];
  auto status = source->read_tensor(0, 1, out);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kOutOfRange);
  EXPECT_EQ(status.error().tensor, "t0");
  EXPECT_EQ(status.error().path, "root/s0.bin");
  EXPECT_FALSE(source->read_tensor(1, 0, out));
  EXPECT_FALSE(source->read_storage(0, DType::kU8, ~0ULL, out));
  EXPECT_FALSE(source->read_storage(1, DType::kU8, 0, out));
  EXPECT_FALSE(source->read_file(0, 20, out));
  EXPECT_FALSE(source->read_file(1, 0, out));
  EXPECT_TRUE(source->read_file(0, 11, out));
  EXPECT_EQ(std::memcmp(out, "abcdefgh", 8), 0);
}

TEST(Source, SaysThatAFileBecameShorter) {
  Made made;
  made.add_storage(std::string(100, 'x'), StorageCoding::kRaw, false);
  made.files->put("root/s0.bin", "eleven byte and then nothing");
  std::byte out[8];
  const auto status = made.source()->read_storage(0, DType::kU8, 0, out);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kIo);
  EXPECT_THAT(status.error().text(), HasSubstr("shorter"));
}

/// What reading all of storage 0 says.
Error deflate_error(Made& made) {
  std::string out(made.index.storages[0].bytes, '?');
  const Status status =
      made.source()->read_storage(0, DType::kU8, 0, std::as_writable_bytes(std::span(out)));
  EXPECT_FALSE(status.has_value());
  return status ? Error() : status.error();
}

TEST(Source, ChecksTheEndOfACompressedStorage) {
  Random random(5);
  const std::string plain = random_bytes(random, 300000);
  Made made;
  made.add_storage(plain, StorageCoding::kDeflate, false);
  StorageInfo& storage = made.index.storages[0];
  *storage.crc32 ^= 1;
  EXPECT_EQ(deflate_error(made).code, ErrorCode::kCorrupt);
  *storage.crc32 ^= 1;
  storage.bytes -= 1;
  EXPECT_THAT(deflate_error(made).message, HasSubstr("goes on after the stated size"));
  storage.bytes += 2;
  EXPECT_THAT(deflate_error(made).message, HasSubstr("ends too early"));
  storage.bytes -= 1;
  storage.stored_bytes -= 7;
  EXPECT_THAT(deflate_error(made).message, HasSubstr("ends too early"));
  storage.stored_bytes += 7;
  storage.offset_bytes += 1;
  EXPECT_EQ(deflate_error(made).code, ErrorCode::kMalformed);
}

TEST(Source, ServesManyThreadsAtOnceFromManyCompressedStorages) {
  Random random(9);
  Made made;
  for (int i = 0; i < 12; ++i)
    made.add_storage(random_bytes(random, 150000 + random() % 1000), StorageCoding::kDeflate,
                     false);
  const auto source = made.source();
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (unsigned t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      Random local(t);
      for (int i = 0; i < 60; ++i) {
        const std::size_t storage = local() % made.decoded.size();
        const std::size_t at = local() % 100000;
        std::string out(local() % 50000, '?');
        const auto status =
            source->read_storage(storage, DType::kU8, at, std::as_writable_bytes(std::span(out)));
        if (!status || out != made.decoded[storage].substr(at, out.size())) ++wrong;
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST(Source, KeepsRawFilesOpenForTheEngine) {
  Made made;
  for (int i = 0; i < 80; ++i) made.add_storage("abcdefgh", StorageCoding::kRaw, false);
  const auto source = made.source();
  for (std::uint32_t i = 0; i < 80; ++i) {
    const auto file = source->open_file(i);
    ASSERT_TRUE(file != nullptr);
    EXPECT_EQ(file->bytes(), 23U);
    EXPECT_EQ(source->raw_file(i) != nullptr, i < 32);
  }
  EXPECT_EQ(source->open_file(80), nullptr);
}

}  // namespace
}  // namespace kilter
