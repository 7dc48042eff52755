#include "flow/assembled_read.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>

#include "flow/block_cache.h"
#include "flow/check_assembly.h"
#include "flow/load.h"
#include "flow/source.h"
#include "io/memory_file_system.h"

namespace kilter {
namespace {

using ::testing::HasSubstr;
using PieceRandom = std::mt19937_64;
using Shape = std::vector<std::int64_t>;

struct PieceBox {
  Shape offsets, sizes;
};

std::uint64_t product(const Shape& shape) {
  std::uint64_t out = 1;
  for (const std::int64_t size : shape) out *= static_cast<std::uint64_t>(size);
  return out;
}

/// Cuts a box in two, again and again.
std::vector<PieceBox> random_boxes(PieceRandom& random, const Shape& shape, std::size_t cuts) {
  std::vector<PieceBox> boxes{{Shape(shape.size(), 0), shape}};
  for (std::size_t i = 0; i < cuts && !shape.empty(); ++i) {
    PieceBox& low = boxes[random() % boxes.size()];
    const std::size_t d = random() % shape.size();
    if (low.sizes[d] < 2) continue;
    const auto at =
        static_cast<std::int64_t>(1 + random() % static_cast<std::uint64_t>(low.sizes[d] - 1));
    PieceBox high = low;
    high.offsets[d] += at;
    high.sizes[d] -= at;
    low.sizes[d] = at;
    boxes.push_back(std::move(high));
  }
  std::shuffle(boxes.begin(), boxes.end(), random);
  return boxes;
}

/// A whole that exists only as pieces in files, each in an order of its own.
class Pieces {
 public:
  Pieces(PieceRandom& random, DType dtype, Shape shape, std::size_t cuts)
      : random_(random), dtype_(dtype), bytes_(dtype_row(dtype).bits / 8U) {
    auto assembly = std::make_shared<Assembly>();
    assembly->element = dtype;
    assembly->shape = shape;
    whole.resize(product(shape) * bytes_);
    for (char& c : whole) c = static_cast<char>(random());
    strides_ = contiguous_strides(shape);
    for (const PieceBox& box : random_boxes(random, shape, cuts))
      assembly->pieces.push_back(add_piece(box));
    StorageInfo storage;
    storage.coding = StorageCoding::kPieces;
    storage.bytes = whole.size();
    storage.assembly = std::move(assembly);
    index.storages.push_back(std::move(storage));
    add_view(std::move(shape), {}, 0);
  }

  void add_view(Shape shape, Shape strides, std::uint64_t offset) {
    TensorInfo tensor;
    tensor.name = std::string("t").append(std::to_string(index.tensors.size()));
    tensor.dtype = dtype_;
    tensor.strides = strides.empty() ? contiguous_strides(shape) : std::move(strides);
    tensor.shape = std::move(shape);
    tensor.storage = static_cast<std::uint32_t>(index.storages.size() - 1);
    tensor.offset_elements = offset;
    index.tensors.push_back(std::move(tensor));
  }

  std::shared_ptr<Source> source() {
    const Status status = index.validate();
    EXPECT_TRUE(status.has_value()) << (status ? "" : status.error().text());
    return make_file_source(*files, "root", true, index);
  }
  Assembly copy() const { return *index.storages.back().assembly; }
  void replace(Assembly assembly) {
    index.storages.back().assembly = std::make_shared<const Assembly>(std::move(assembly));
  }

  std::unique_ptr<io::MemoryFileSystem> files = io::make_memory_file_system();
  TensorIndex index;  // the last storage is the assembly, tensor 0 all of it
  std::string whole;

 private:
  Piece add_piece(const PieceBox& box) {
    Piece piece{box.offsets,
                box.sizes,
                static_cast<std::uint32_t>(index.storages.size()),
                random_() % 3,
                {}};
    Shape order(box.sizes.size());
    for (std::size_t d = 0; d < order.size(); ++d) order[d] = static_cast<std::int64_t>(d);
    if (random_() % 2 == 0) std::shuffle(order.begin(), order.end(), random_);
    piece.strides.resize(order.size());
    std::int64_t next = 1;
    for (std::size_t i = order.size(); i-- > 0;) {
      const auto d = static_cast<std::size_t>(order[i]);
      piece.strides[d] = next;
      next *= box.sizes[d];
    }
    StorageInfo storage;
    storage.big_endian = random_() % 3 == 0;
    add_storage(std::move(storage), content_of(piece, storage.big_endian));
    return piece;
  }

  std::string content_of(const Piece& piece, bool big_endian) const {
    const std::uint64_t count = product(piece.sizes);
    std::string out((piece.offset_elements + count) * bytes_, '\0');
    const std::size_t unit = std::max<std::size_t>(dtype_row(dtype_).swap_bytes, 1);
    for (std::uint64_t i = 0; i < count; ++i) {
      std::uint64_t rest = i, from = 0, to = piece.offset_elements;
      for (std::size_t d = piece.sizes.size(); d-- > 0;) {
        const auto at =
            static_cast<std::int64_t>(rest % static_cast<std::uint64_t>(piece.sizes[d]));
        rest /= static_cast<std::uint64_t>(piece.sizes[d]);
        from += static_cast<std::uint64_t>((piece.offsets[d] + at) * strides_[d]);
        to += static_cast<std::uint64_t>(at * piece.strides[d]);
      }
      std::string element = whole.substr(from * bytes_, bytes_);
      if (big_endian)
        for (std::size_t u = 0; u < bytes_; u += unit)
          std::reverse(element.begin() + static_cast<std::ptrdiff_t>(u),
                       element.begin() + static_cast<std::ptrdiff_t>(u + unit));
      out.replace(to * bytes_, bytes_, element);
    }
    return out;
  }

  void add_storage(StorageInfo storage, const std::string& content) {
    storage.file = static_cast<std::uint32_t>(index.files.size());
    storage.offset_bytes = 5;
    storage.bytes = storage.stored_bytes = content.size();
    if (random_() % 4 == 0) {
      const auto* begin = reinterpret_cast<const std::byte*>(content.data());
      storage.coding = StorageCoding::kInline;
      storage.inline_bytes =
          std::make_shared<const std::vector<std::byte>>(begin, begin + content.size());
    }
    const std::string name = "p" + std::to_string(storage.file);
    files->put("root/" + name, "five." + content);
    index.files.push_back({name, content.size() + 5});
    index.storages.push_back(std::move(storage));
  }

  PieceRandom& random_;
  DType dtype_;
  std::size_t bytes_;
  Shape strides_;
};

std::string read_part(const Source& source, std::size_t tensor, std::size_t at, std::size_t count) {
  std::string out(count, '?');
  const Status status = source.read_tensor(tensor, at, std::as_writable_bytes(std::span(out)));
  EXPECT_TRUE(status.has_value()) << (status ? "" : status.error().text());
  return out;
}

TEST(AssembledReader, GivesAnyRangeOfRandomPiecesAsTheWholeHasIt) {
  PieceRandom random(41);
  const DType dtypes[] = {DType::kU8, DType::kBF16, DType::kF32, DType::kF64, DType::kC128};
  for (int round = 0; round < 60; ++round) {
    Shape shape;
    for (std::size_t d = random() % 5; d > 0; --d)
      shape.push_back(static_cast<std::int64_t>(1 + random() % 17));
    Pieces pieces(random, dtypes[random() % 5], shape, random() % 30);
    const auto source = pieces.source();
    const std::string& whole = pieces.whole;
    ASSERT_EQ(read_part(*source, 0, 0, whole.size()), whole) << round;
    for (int k = 0; k < 12; ++k) {
      const std::size_t at = random() % whole.size();
      const std::size_t count = random() % (whole.size() - at + 1);
      ASSERT_EQ(read_part(*source, 0, at, count), whole.substr(at, count)) << round;
    }
  }
}

TEST(AssembledReader, ReadsPiecesLargerThanItsScratch) {
  PieceRandom random(5);
  // Rows long enough to be read into place, and short ones.
  for (const Shape& shape : {Shape{12, 300'000}, Shape{300'000, 12}}) {
    Pieces pieces(random, DType::kU8, shape, 5);
    EXPECT_TRUE(read_part(*pieces.source(), 0, 0, pieces.whole.size()) == pieces.whole);
    EXPECT_TRUE(read_part(*pieces.source(), 0, 777, 3'000'000) ==
                pieces.whole.substr(777, 3'000'000));
  }
}

TEST(AssembledReader, ServesViewsOfAnotherShapeThanTheWhole) {
  PieceRandom random(6);
  Pieces pieces(random, DType::kU16, {60}, 7);
  pieces.add_view({5, 12}, {}, 0);
  pieces.add_view({2, 3}, {}, 11);
  pieces.add_view({12, 5}, {1, 12}, 0);
  const auto source = pieces.source();
  EXPECT_EQ(read_part(*source, 1, 0, 120), pieces.whole);
  EXPECT_EQ(read_part(*source, 2, 0, 12), pieces.whole.substr(22, 12));
  std::string turned;
  for (std::size_t row = 0; row < 12; ++row)
    for (std::size_t column = 0; column < 5; ++column)
      turned += pieces.whole.substr((column * 12 + row) * 2, 2);
  EXPECT_EQ(read_part(*source, 3, 0, 120), turned);
}

TEST(AssembledReader, PassesOverPiecesWithoutElements) {
  PieceRandom random(7);
  Pieces pieces(random, DType::kU8, {6, 4}, 3);
  Assembly assembly = pieces.copy();
  assembly.pieces.push_back({{6, 0}, {0, 4}, 0, 99, {4, 1}});
  assembly.pieces.push_back({{2, 4}, {3, 0}, 0, 0, {1, 1}});
  pieces.replace(assembly);
  EXPECT_EQ(read_part(*pieces.source(), 0, 0, 24), pieces.whole);
}

TEST(AssembledReader, NamesTheFileOfThePieceThatCannotBeRead) {
  PieceRandom random(2);
  Pieces pieces(random, DType::kU8, {40, 3}, 9);
  const auto source = pieces.source();
  std::uint32_t file = 0;
  while (pieces.index.storages[file].coding != StorageCoding::kRaw) ++file;
  const std::string name = "root/p" + std::to_string(file);
  pieces.files->put(name, "short");
  std::byte out[120];
  const Status status = source->read_tensor(0, 0, out);
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error().path, name);
  EXPECT_EQ(status.error().tensor, "t0");
}

TEST(AssembledReader, LoadsWithTheRestOfACheckpoint) {
  PieceRandom random(8);
  Pieces pieces(random, DType::kF32, {3000, 1001}, 12);  // 12 MB: several jobs
  pieces.add_view({1001, 3000}, {1, 1001}, 0);
  const auto source = pieces.source();
  const auto loaded = load_tensors(source, LoadMode::kAuto, {});
  ASSERT_TRUE(loaded.has_value()) << loaded.error().text();
  const Bytes bytes = (*loaded)->bytes(0);
  ASSERT_EQ(bytes.size(), pieces.whole.size());
  EXPECT_EQ(std::memcmp(bytes.data(), pieces.whole.data(), bytes.size()), 0);
  const std::string turned = read_part(*source, 1, 0, pieces.whole.size());
  EXPECT_EQ(std::memcmp((*loaded)->bytes(1).data(), turned.data(), turned.size()), 0);
}

TEST(AssembledReader, WantsBlocksWhereMoreStreamsTakeTurnsThanAreKeptOpen) {
  PieceRandom random(9);
  const auto wants = [&](std::int64_t columns, bool by_row) {
    Assembly assembly{DType::kU8, {2000, 2000}, {}};
    TensorIndex index;
    index.files.push_back({"a", 100});
    for (std::int64_t i = 0; i < columns; ++i) {
      const std::int64_t width = 2000 / columns;
      assembly.pieces.push_back(
          by_row
              ? Piece{{i * width, 0}, {width, 2000}, static_cast<std::uint32_t>(i), 0, {2000, 1}}
              : Piece{{0, i * width}, {2000, width}, static_cast<std::uint32_t>(i), 0, {width, 1}});
      StorageInfo storage;
      storage.coding = StorageCoding::kDeflate;
      index.storages.push_back(storage);
    }
    StorageInfo storage;
    storage.coding = StorageCoding::kPieces;
    storage.bytes = 4'000'000;
    storage.assembly = std::make_shared<const Assembly>(assembly);
    index.storages.push_back(storage);
    TensorInfo tensor;
    tensor.dtype = DType::kU8;
    tensor.shape = {2000, 2000};
    tensor.strides = {2000, 1};
    tensor.storage = static_cast<std::uint32_t>(columns);
    return flow::wants_blocks(index, tensor);
  };
  EXPECT_TRUE(wants(10, false));
  EXPECT_FALSE(wants(8, false));
  EXPECT_FALSE(wants(10, true));
}

/// What validate() says of an assembly changed by `change`.
Error refusal(const std::function<void(Pieces&, Assembly&)>& change) {
  PieceRandom random(3);
  Pieces pieces(random, DType::kF32, {8, 9}, 6);
  Assembly assembly = pieces.copy();
  change(pieces, assembly);
  pieces.replace(assembly);
  const Status status = pieces.index.validate();
  EXPECT_FALSE(status.has_value());
  return status ? Error() : status.error();
}

TEST(Assembly, RefusesAPieceThatIsMissing) {
  const Error error = refusal([](Pieces&, Assembly& a) { a.pieces.pop_back(); });
  EXPECT_EQ(error.code, ErrorCode::kMalformed);
  EXPECT_EQ(error.tensor, "t0");
  EXPECT_THAT(error.message, HasSubstr("missing"));
  EXPECT_EQ(error.expected, "72 elements in all");
}

TEST(Assembly, RefusesAPieceThatIsThereTwice) {
  const Error error = refusal([](Pieces&, Assembly& a) { a.pieces.push_back(a.pieces[0]); });
  EXPECT_THAT(error.message, HasSubstr("overlap"));
}

TEST(Assembly, RefusesOverlapThatTheSumOfSizesHides) {
  for (std::size_t moved = 0; moved < 4; ++moved) {
    const Error error = refusal([&](Pieces&, Assembly& a) {
      Piece& piece = a.pieces[moved];
      const std::size_t d = piece.offsets[0] > 0 || piece.sizes[0] < 8 ? 0 : 1;
      piece.offsets[d] += piece.offsets[d] > 0 ? -1 : 1;
    });
    EXPECT_EQ(error.code, ErrorCode::kMalformed);
    EXPECT_THAT(error.text(), HasSubstr("a fault at ["));
  }
}

TEST(Assembly, RefusesWhatLiesOutsideTheWholeOrItsStorage) {
  EXPECT_THAT(refusal([](Pieces&, Assembly& a) { a.pieces[0].offsets[0] = -1; }).message,
              HasSubstr("outside the whole"));
  EXPECT_THAT(refusal([](Pieces&, Assembly& a) { a.pieces[0].sizes[1] = 10; }).message,
              HasSubstr("outside the whole"));
  EXPECT_THAT(refusal([](Pieces&, Assembly& a) {
                a.pieces[0].offsets[0] = std::numeric_limits<std::int64_t>::max();
              }).message,
              HasSubstr("outside the whole"));
  EXPECT_THAT(refusal([](Pieces&, Assembly& a) { a.pieces[0].strides.pop_back(); }).message,
              HasSubstr("dimensions of the whole"));
  EXPECT_THAT(refusal([](Pieces&, Assembly& a) { a.pieces[0].offset_elements += 50; }).message,
              HasSubstr("past the end of storage"));
  EXPECT_THAT(refusal([](Pieces&, Assembly& a) { a.pieces[0].strides[0] = -1; }).message,
              HasSubstr("negative"));
  EXPECT_THAT(refusal([](Pieces&, Assembly& a) { a.pieces[0].storage = 1000; }).message,
              HasSubstr("storage that is not there"));
}

TEST(Assembly, RefusesAssembliesOfAssembliesAndSizesThatDisagree) {
  EXPECT_THAT(refusal([](Pieces& p, Assembly& a) {
                a.pieces[0].storage = static_cast<std::uint32_t>(p.index.storages.size() - 1);
              }).message,
              HasSubstr("itself in pieces"));
  EXPECT_THAT(refusal([](Pieces& p, Assembly&) { p.index.storages.back().bytes += 4; }).message,
              HasSubstr("another size"));
  EXPECT_THAT(
      refusal([](Pieces& p, Assembly&) { p.index.storages.back().stored_bytes = 4; }).message,
      HasSubstr("bytes of its own"));
  EXPECT_THAT(refusal([](Pieces&, Assembly& a) { a.element = DType::kF4E2M1; }).message,
              HasSubstr("narrower than a byte"));
  EXPECT_THAT(refusal([](Pieces&, Assembly& a) { a.shape[0] = -8; }).text(), HasSubstr("negative"));
}

TEST(Assembly, ChecksAHundredThousandPiecesAndRefusesTooMany) {
  Assembly assembly{DType::kU8, {400, 250}, {}};
  for (std::int64_t r = 0; r < 400; ++r)
    for (std::int64_t c = 0; c < 250; ++c)
      assembly.pieces.push_back({{r, c}, {1, 1}, 0, 0, {1, 1}});
  EXPECT_TRUE(flow::check_assembly(assembly, 100'000).has_value());
  assembly.pieces[777].offsets = {3, 3};
  const Status doubled = flow::check_assembly(assembly, 100'000);
  ASSERT_FALSE(doubled.has_value());
  EXPECT_THAT(doubled.error().found, HasSubstr("[3, 3]"));

  Assembly deep{DType::kU8, Shape(30, 2), {}};
  deep.pieces.push_back({Shape(30, 0), Shape(30, 1), 0, 0, Shape(30, 1)});
  const Status status = flow::check_assembly(deep, 1ULL << 30);
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error().code, ErrorCode::kMalformed);  // the sum says so first
  Assembly wide{DType::kU8, Shape(24, 2), {}};
  for (std::int64_t i = 0; i < 1 << 12; ++i) {
    Piece piece{Shape(24, 0), Shape(24, 1), 0, 0, Shape(24, 1)};
    for (std::size_t d = 0; d < 12; ++d) piece.offsets[d] = i >> d & 1;
    for (std::size_t d = 12; d < 24; ++d) piece.sizes[d] = 2;
    piece.sizes[23] = i % 2 == 0 ? 1 : 2;
    wide.pieces.push_back(piece);
  }
  EXPECT_FALSE(flow::check_assembly(wide, 1ULL << 24).has_value());
}

TEST(Assembly, HasABudgetOfCorners) {
  Assembly assembly{DType::kU8, Shape(26, 2), {}};
  // 27 boxes that fill it: each leaves one dimension fewer to cut.
  Shape offsets(26, 0), sizes(26, 2);
  for (std::size_t d = 0; d < 26; ++d) {
    sizes[d] = 1;
    assembly.pieces.push_back({offsets, sizes, 0, 0, Shape(26, 1)});
    offsets[d] = 1;
  }
  assembly.pieces.push_back({offsets, sizes, 0, 0, Shape(26, 1)});
  const Status status = flow::check_assembly(assembly, 1ULL << 26);
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error().code, ErrorCode::kLimitExceeded);
}

}  // namespace
}  // namespace kilter
