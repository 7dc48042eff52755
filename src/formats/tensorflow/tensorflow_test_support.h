// Bundles made by hand: tables, messages and keys written from the documented layouts.
#pragma once

#include <snappy.h>

#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/crc32c.h"
#include "formats/tensorflow/ordered_code.h"
#include "formats/tensorflow/table.h"

namespace kilter::tensorflow::test {

inline std::string u32_bytes(std::uint32_t value, bool big_endian = false) {
  std::string out;
  for (unsigned i = 0; i < 4; ++i) out += static_cast<char>(value >> (8 * i));
  if (big_endian) std::reverse(out.begin(), out.end());
  return out;
}

inline std::string varint(std::uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7U) out += static_cast<char>(value | 0x80U);
  out += static_cast<char>(value);
  return out;
}

inline std::string number_field(unsigned number, std::uint64_t value) {
  return varint(number << 3U).append(varint(value));
}
inline std::string bytes_field(unsigned number, std::string_view value) {
  return varint(number << 3U | 2U).append(varint(value.size())).append(value);
}

inline std::uint32_t masked_crc(std::string_view bytes) {
  return mask_crc32c(crc32c(as_bytes(bytes)));
}

/// A sorted table of these entries, in blocks of at most `per_block`.
inline std::string table_of(const std::map<std::string, std::string>& entries,
                            bool compress = false, std::size_t per_block = 4) {
  std::string out;
  const auto append_block = [&](std::string block) {
    block += u32_bytes(0);  // one restart point, at the first entry
    block += u32_bytes(1);
    std::string stored = block;
    if (compress) snappy::Compress(block.data(), block.size(), &stored);
    const std::string handle = varint(out.size()).append(varint(stored.size()));
    stored += compress ? '\1' : '\0';
    out.append(stored).append(u32_bytes(masked_crc(stored)));
    return handle;
  };
  std::string block, index, before, index_before;
  std::size_t held = 0;
  const auto entry = [](std::string* to, std::string* last, const std::string& key,
                        std::string_view value) {
    std::size_t shared = 0;
    while (shared < std::min(last->size(), key.size()) && (*last)[shared] == key[shared]) ++shared;
    to->append(varint(shared)).append(varint(key.size() - shared)).append(varint(value.size()));
    to->append(key.substr(shared)).append(value);
    *last = key;
  };
  const auto flush = [&] {
    if (held == 0) return;
    entry(&index, &index_before, before, append_block(std::exchange(block, "")));
    held = 0;
    before.clear();
  };
  for (const auto& [key, value] : entries) {
    entry(&block, &before, key, value);
    if (++held == per_block) flush();
  }
  flush();
  const std::string meta = append_block("");
  const std::string index_handle = append_block(index);
  std::string footer = meta + index_handle;
  footer.resize(40, '\0');
  return out.append(footer).append(kTableMagic);
}

struct TestEntry {
  std::uint64_t dtype = 1;
  std::vector<std::int64_t> shape;
  std::uint64_t shard = 0, offset_bytes = 0, bytes = 0;
  std::uint32_t masked_crc32c = 0;
  std::vector<std::vector<Extent>> slices;

  std::string message() const {
    std::string out = number_field(1, dtype), dims;
    for (const std::int64_t size : shape)
      dims += bytes_field(2, number_field(1, static_cast<std::uint64_t>(size)));
    out += bytes_field(2, dims);
    if (shard != 0) out += number_field(3, shard);
    if (offset_bytes != 0) out += number_field(4, offset_bytes);
    if (bytes != 0) out += number_field(5, bytes);
    out += varint(6U << 3U | 5U).append(u32_bytes(masked_crc32c));
    for (const auto& slice : slices) {
      std::string extents;
      for (const Extent& extent : slice) {
        std::string one;
        if (extent.start != 0) one += number_field(1, static_cast<std::uint64_t>(extent.start));
        if (extent.length >= 0) one += number_field(2, static_cast<std::uint64_t>(extent.length));
        extents += bytes_field(1, one);
      }
      out += bytes_field(7, extents);
    }
    return out;
  }
};

/// A bundle of one shard under construction.
class BundleBuilder {
 public:
  explicit BundleBuilder(bool big_endian = false) : big_endian_(big_endian) {
    std::string header = number_field(1, 1);
    if (big_endian) header += number_field(2, 1);
    entries[""] = header + bytes_field(3, number_field(1, 1));
  }

  TestEntry append(std::uint64_t dtype, std::vector<std::int64_t> shape, std::string_view bytes) {
    TestEntry entry;
    entry.dtype = dtype;
    entry.shape = std::move(shape);
    entry.offset_bytes = data.size();
    entry.bytes = bytes.size();
    entry.masked_crc32c = masked_crc(bytes);
    data += bytes;
    return entry;
  }

  void add(const std::string& key, std::uint64_t dtype, std::vector<std::int64_t> shape,
           std::string_view bytes) {
    entries[key] = append(dtype, std::move(shape), bytes).message();
  }

  void add_strings(const std::string& key, std::vector<std::int64_t> shape,
                   const std::vector<std::string>& strings) {
    std::string lengths, words, text;
    for (const std::string& one : strings) {
      lengths += varint(one.size());
      words += u32_bytes(static_cast<std::uint32_t>(one.size()), big_endian_);
      text += one;
    }
    const std::string sum = u32_bytes(masked_crc(words), big_endian_);
    TestEntry entry = append(7, std::move(shape), lengths + sum + text);
    entry.masked_crc32c = masked_crc(words + sum + text);
    entries[key] = entry.message();
  }

  /// A part of a partitioned variable; the variable's own entry is the caller's.
  void add_slice(const std::string& name, const std::vector<Extent>& slice, std::uint64_t dtype,
                 std::vector<std::int64_t> shape, std::string_view bytes) {
    add(encode_slice_key({name, slice}), dtype, std::move(shape), bytes);
  }

  std::string index(bool compress = false) const { return table_of(entries, compress); }

  std::map<std::string, std::string> entries;
  std::string data;

 private:
  bool big_endian_;
};

}  // namespace kilter::tensorflow::test
