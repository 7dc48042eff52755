// The sorted table that holds a bundle's index: keys and values in checksummed blocks.
// Source: leveldb/doc/table_format.md; TensorFlow keeps the layout (tensorflow/core/lib/io).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kilter/error.h"

#include "io/file_system.h"

namespace kilter::tensorflow {

/// Last eight bytes of the file: 0xdb4775248b80fb57, little-endian.
inline constexpr std::string_view kTableMagic = "\x57\xfb\x80\x8b\x24\x75\x47\xdb";
inline constexpr std::uint64_t kFooterBytes = 48;

struct TableEntry {
  std::string key;
  std::string value;
  std::uint64_t block_offset_bytes = 0;  ///< where its block begins in the file
};

struct Table {
  std::vector<TableEntry> entries;  ///< keys ascend strictly, as bytes
  std::uint64_t block_count = 0;
  bool compressed = false;  ///< at least one block is snappy
};

/// Reads the whole table. Every block's checksum is verified. At most `bytes_max` of keys and
/// values, after decompression.
/// Errors: kMalformed, kCorrupt (a checksum), kLimitExceeded, kUnsupported (a compression), kIo,
/// all with path and offset.
Result<Table> read_table(const io::ReadFile& file, std::uint64_t bytes_max);

}  // namespace kilter::tensorflow
