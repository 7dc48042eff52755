// The messages in a bundle's index. Source: tensorflow/core/protobuf/tensor_bundle.proto,
// framework/tensor_shape.proto, framework/tensor_slice.proto, framework/versions.proto.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "kilter/dtype.h"
#include "kilter/error.h"

#include "base/byte_reader.h"
#include "formats/tensorflow/ordered_code.h"

namespace kilter::tensorflow {

struct BundleHeader {
  std::uint32_t shard_count = 0;
  bool big_endian = false;
  std::int64_t producer = 0;
  std::int64_t min_consumer = 0;
};

struct BundleEntry {
  std::uint64_t dtype = 0;  ///< DataType of types.proto
  std::vector<std::int64_t> shape;
  std::uint64_t shard = 0;
  std::uint64_t offset_bytes = 0;
  std::uint64_t bytes = 0;
  std::uint32_t masked_crc32c = 0;
  std::vector<std::vector<Extent>> slices;  ///< of a partitioned variable: its bytes lie there
};

/// Errors: kMalformed. (nullopt where this is the header of a V1 checkpoint.)
Result<std::optional<BundleHeader>> read_bundle_header(Bytes message);
Result<BundleEntry> read_bundle_entry(Bytes message);

/// How a DataType is read.
struct DataTypeRow {
  std::uint64_t number;
  std::string_view name;  ///< as TensorFlow calls it: "qint8"
  DType dtype;
  bool as_bits;  ///< there is no such type here: the same bits as a plain one
};
inline constexpr std::uint64_t kDataTypeString = 7;
inline constexpr std::uint64_t kDataTypeResource = 20;
inline constexpr std::uint64_t kDataTypeVariant = 21;

/// The row of a numeric type (one byte or more an element: TensorFlow packs none); nullptr for
/// strings, variants, resources and unknown numbers.
const DataTypeRow* find_data_type(std::uint64_t number);

}  // namespace kilter::tensorflow
