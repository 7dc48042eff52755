#include "formats/tensorflow/bundle_proto.h"

#include <algorithm>
#include <array>
#include <limits>

#include "base/protobuf.h"
#include "base/try.h"

namespace kilter::tensorflow {
namespace {

/// Of all parts of one variable together.
constexpr std::size_t kExtentsMax = 1 << 22;

// Source: tensorflow/core/framework/types.proto. What has no type here keeps its bits.
constexpr std::array kDataTypes = {
    DataTypeRow{1, "float32", DType::kF32, false},
    DataTypeRow{2, "float64", DType::kF64, false},
    DataTypeRow{3, "int32", DType::kI32, false},
    DataTypeRow{4, "uint8", DType::kU8, false},
    DataTypeRow{5, "int16", DType::kI16, false},
    DataTypeRow{6, "int8", DType::kI8, false},
    DataTypeRow{8, "complex64", DType::kC64, false},
    DataTypeRow{9, "int64", DType::kI64, false},
    DataTypeRow{10, "bool", DType::kBool, false},
    DataTypeRow{11, "qint8", DType::kI8, true},
    DataTypeRow{12, "quint8", DType::kU8, true},
    DataTypeRow{13, "qint32", DType::kI32, true},
    DataTypeRow{14, "bfloat16", DType::kBF16, false},
    DataTypeRow{15, "qint16", DType::kI16, true},
    DataTypeRow{16, "quint16", DType::kU16, true},
    DataTypeRow{17, "uint16", DType::kU16, false},
    DataTypeRow{18, "complex128", DType::kC128, false},
    DataTypeRow{19, "float16", DType::kF16, false},
    DataTypeRow{22, "uint32", DType::kU32, false},
    DataTypeRow{23, "uint64", DType::kU64, false},
    DataTypeRow{24, "float8_e5m2", DType::kF8E5M2, false},
    DataTypeRow{25, "float8_e4m3fn", DType::kF8E4M3FN, false},
    DataTypeRow{26, "float8_e4m3fnuz", DType::kF8E4M3FNUZ, false},
    DataTypeRow{27, "float8_e4m3b11fnuz", DType::kU8, true},
    DataTypeRow{28, "float8_e5m2fnuz", DType::kF8E5M2FNUZ, false},
    DataTypeRow{29, "int4", DType::kI4, false},
    DataTypeRow{30, "uint4", DType::kU4, false},
    DataTypeRow{31, "int2", DType::kI2, false},
    DataTypeRow{32, "uint2", DType::kU2, false},
    DataTypeRow{33, "float4_e2m1fn", DType::kU8, true},
};

Result<std::vector<std::int64_t>> read_shape(Bytes message) {
  std::vector<std::int64_t> shape;
  ProtoReader reader(message);
  while (!reader.done()) {
    KILTER_ASSIGN(const ProtoField field, reader.next());
    if (field.is(3, WireType::kVarint) && field.value != 0)
      return fail(ErrorCode::kMalformed, "the tensor's shape has no known rank");
    if (!field.is(2, WireType::kBytes)) continue;
    std::int64_t size = 0;  // proto3 leaves a zero out
    ProtoReader dimension(field.content);
    while (!dimension.done()) {
      KILTER_ASSIGN(const ProtoField part, dimension.next());
      if (part.is(1, WireType::kVarint)) size = part.integer();
    }
    if (shape.size() == kRankMax)
      return fail(ErrorCode::kLimitExceeded, "the tensor has too many dimensions");
    shape.push_back(size);
  }
  return shape;
}

Result<std::vector<Extent>> read_slice(Bytes message) {
  std::vector<Extent> slice;
  ProtoReader reader(message);
  while (!reader.done()) {
    KILTER_ASSIGN(const ProtoField field, reader.next());
    if (!field.is(1, WireType::kBytes)) continue;
    Extent extent;
    ProtoReader parts(field.content);
    while (!parts.done()) {
      KILTER_ASSIGN(const ProtoField part, parts.next());
      if (part.is(1, WireType::kVarint)) extent.start = part.integer();
      if (part.is(2, WireType::kVarint)) extent.length = part.integer();
    }
    if (slice.size() == kRankMax)
      return fail(ErrorCode::kLimitExceeded, "a slice has too many dimensions");
    slice.push_back(extent);
  }
  return slice;
}

Status read_version(Bytes message, BundleHeader* header) {
  ProtoReader reader(message);
  while (!reader.done()) {
    KILTER_ASSIGN(const ProtoField field, reader.next());
    if (field.is(1, WireType::kVarint)) header->producer = field.integer();
    if (field.is(2, WireType::kVarint)) header->min_consumer = field.integer();
  }
  return ok();
}

}  // namespace

Result<std::optional<BundleHeader>> read_bundle_header(Bytes message) {
  BundleHeader header;
  ProtoReader reader(message);
  while (!reader.done()) {
    KILTER_ASSIGN(const ProtoField field, reader.next());
    // SavedTensorSlices of V1 begins with its meta, a message of the same number.
    if (field.is(1, WireType::kBytes)) return std::optional<BundleHeader>();
    if (field.is(1, WireType::kVarint)) {
      if (field.value > static_cast<std::uint64_t>(std::numeric_limits<std::int32_t>::max()))
        return fail(ErrorCode::kMalformed, "the header states an impossible number of shards");
      header.shard_count = static_cast<std::uint32_t>(field.value);
    }
    if (field.is(2, WireType::kVarint)) {
      if (field.value > 1)
        return fail(Error(ErrorCode::kMalformed, "the header states an unknown byte order")
                        .wanted("0 (little) or 1 (big)", std::to_string(field.value)));
      header.big_endian = field.value == 1;
    }
    if (field.is(3, WireType::kBytes)) KILTER_TRY(read_version(field.content, &header));
  }
  return std::optional<BundleHeader>(header);
}

Result<BundleEntry> read_bundle_entry(Bytes message) {
  BundleEntry entry;
  std::size_t extents = 0;
  ProtoReader reader(message);
  while (!reader.done()) {
    KILTER_ASSIGN(const ProtoField field, reader.next());
    if (field.is(1, WireType::kVarint)) entry.dtype = field.value;
    if (field.is(2, WireType::kBytes)) {
      KILTER_ASSIGN(entry.shape, read_shape(field.content));
    }
    if (field.is(3, WireType::kVarint)) entry.shard = field.value;
    if (field.is(4, WireType::kVarint)) entry.offset_bytes = field.value;
    if (field.is(5, WireType::kVarint)) entry.bytes = field.value;
    if (field.is(6, WireType::kFixed32))
      entry.masked_crc32c = static_cast<std::uint32_t>(field.value);
    if (field.is(7, WireType::kBytes)) {
      KILTER_ASSIGN(auto slice, read_slice(field.content));
      extents += slice.size();
      if (extents > kExtentsMax)
        return fail(ErrorCode::kLimitExceeded, "the variable has too many parts");
      entry.slices.push_back(std::move(slice));
    }
  }
  return entry;
}

const DataTypeRow* find_data_type(std::uint64_t number) {
  const auto row = std::lower_bound(
      kDataTypes.begin(), kDataTypes.end(), number,
      [](const DataTypeRow& one, std::uint64_t wanted) { return one.number < wanted; });
  return row != kDataTypes.end() && row->number == number ? &*row : nullptr;
}

}  // namespace kilter::tensorflow
