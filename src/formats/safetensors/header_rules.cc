#include "formats/safetensors/header_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <numeric>
#include <optional>

#include "base/checked.h"
#include "base/text.h"
#include "formats/safetensors/layout.h"
#include "tensor/layout.h"

namespace kilter::safetensors {
namespace {

std::string range_text(std::uint64_t begin, std::uint64_t end) {
  return fmt::format("bytes [{}, {}) of the data", begin, end);
}

Error entry_error(const Header& header, const Entry& entry, std::string message) {
  Error error(ErrorCode::kMalformed, std::move(message));
  error.tensor = entry.name;
  if (const auto at = checked_add(header.data_offset_bytes(), entry.begin_bytes))
    error.offset_bytes = *at;
  return error;
}

/// Bits of the whole tensor; nullopt if they do not fit 64.
std::optional<std::uint64_t> total_bits(const Entry& entry) {
  std::optional<std::uint64_t> bits = dtype_row(entry.dtype).bits;
  for (const std::int64_t size : entry.shape)
    bits = bits ? checked_mul(*bits, static_cast<std::uint64_t>(size)) : bits;
  return bits;
}

std::string kind_text(const Entry& entry) {
  return fmt::format("{} {}", dtype_row(entry.dtype).safetensors, shape_text(entry.shape));
}

void check_size(Entry& entry, Header* header) {
  const auto refuse = [&](std::string rule, Error error) {
    entry.usable = false;
    add_fault(header, std::move(rule), std::move(error));
  };
  if (entry.begin_bytes > entry.end_bytes)
    return refuse("safetensors.offsets",
                  entry_error(*header, entry, "the tensor ends before it begins")
                      .wanted("begin <= end", range_text(entry.begin_bytes, entry.end_bytes)));
  const auto bits = total_bits(entry);
  if (!bits)
    return refuse("safetensors.size",
                  entry_error(*header, entry, "the shape's size does not fit 64 bits")
                      .wanted("a size a file can have", kind_text(entry)));
  if (*bits % 8 != 0)
    return refuse("safetensors.sub-byte",
                  entry_error(*header, entry, "the tensor does not fill whole bytes")
                      .wanted("a bit count that divides by 8",
                              fmt::format("{} bits ({})", *bits, kind_text(entry))));
  if (*bits / 8 != entry.end_bytes - entry.begin_bytes)
    refuse("safetensors.size",
           entry_error(*header, entry, "dtype and shape do not fit the offsets")
               .wanted(fmt::format("{} bytes ({})", *bits / 8, kind_text(entry)),
                       fmt::format("{} bytes ({})", entry.end_bytes - entry.begin_bytes,
                                   range_text(entry.begin_bytes, entry.end_bytes))));
}

std::vector<std::uint32_t> order_by_offset(const Header& header) {
  const auto& entries = header.entries;
  std::vector<std::uint32_t> order(entries.size());
  std::iota(order.begin(), order.end(), 0U);
  const auto before = [&](std::uint32_t a, std::uint32_t b) {
    return std::pair(entries[a].begin_bytes, entries[a].end_bytes) <
           std::pair(entries[b].begin_bytes, entries[b].end_bytes);
  };
  if (!std::is_sorted(order.begin(), order.end(), before))
    std::stable_sort(order.begin(), order.end(), before);
  return order;
}

void report_gap(Header* header, const Entry& entry, const Entry* previous, std::uint64_t expected) {
  const bool overlap = entry.begin_bytes < expected;
  const std::string before = previous == nullptr
                                 ? "where the data begins"
                                 : "where tensor \"" + escape_text(previous->name, 200) + "\" ends";
  add_fault(
      header, overlap ? "safetensors.overlap" : "safetensors.hole",
      entry_error(*header, entry,
                  overlap ? "the tensor overlaps another" : "there is a hole before the tensor")
          .wanted(fmt::format("offset {} ({})", expected, before),
                  fmt::format("offset {}", entry.begin_bytes)));
}

/// The file is shorter than its tensors: which are hit, and how much is missing.
void report_truncation(Header* header, std::uint64_t end_bytes, std::uint64_t data_bytes) {
  header->missing_bytes = end_bytes - data_bytes;
  std::size_t lost = 0;
  const Entry* first = nullptr;
  for (Entry& entry : header->entries) {
    if (entry.end_bytes <= data_bytes) continue;
    entry.usable = false;
    ++lost;
    if (first == nullptr || entry.begin_bytes < first->begin_bytes) first = &entry;
  }
  const auto whole_bytes = checked_add(header->data_offset_bytes(), end_bytes);
  add_fault(header, "safetensors.truncated",
            entry_error(*header, *first,
                        fmt::format("the file is cut off: {} bytes are missing, and {} of {} "
                                    "tensors are not whole, this one first",
                                    header->missing_bytes, lost, header->entries.size()))
                .wanted(whole_bytes ? fmt::format("a file of {} bytes", *whole_bytes)
                                    : std::string("a file whose size fits 64 bits"),
                        fmt::format("{} bytes", header->file_bytes))
                .advise("fetch the file again, or keep what is whole with "
                        "`kilter verify --rescue DST`"));
}

}  // namespace

void add_fault(Header* header, std::string rule, Error error) {
  if (header->faults.size() < kFaultCountMax)
    header->faults.push_back({std::move(rule), std::move(error)});
}

void check_names_unique(const std::vector<std::string_view>& names, Header* header) {
  // Sorted by hash first, so that long common prefixes cost nothing, and by name where hashes
  // agree, so that names made to collide cost no more than a sort.
  struct Key {
    std::size_t hash;
    std::uint32_t position;
  };
  std::vector<Key> keys(names.size());
  for (std::uint32_t i = 0; i < names.size(); ++i)
    keys[i] = {std::hash<std::string_view>()(names[i]), i};
  std::sort(keys.begin(), keys.end(), [&](const Key& a, const Key& b) {
    if (a.hash != b.hash) return a.hash < b.hash;
    const int sign = names[a.position].compare(names[b.position]);
    return sign != 0 ? sign < 0 : a.position < b.position;
  });
  for (std::size_t i = 1; i < keys.size(); ++i) {
    const std::string_view name = names[keys[i].position];
    if (keys[i].hash != keys[i - 1].hash || name != names[keys[i - 1].position]) continue;
    Error error(ErrorCode::kMalformed, "the header has the same key twice");
    error.tensor = name;
    add_fault(header, "safetensors.duplicate-key",
              std::move(error).wanted("each key once",
                                      fmt::format("\"{}\" again as key number {}",
                                                  escape_text(name, 200), keys[i].position + 1)));
  }
}

void check_sizes(Header* header) {
  for (Entry& entry : header->entries)
    if (entry.usable) check_size(entry, header);
}

void check_tiling(Header* header) {
  const std::uint64_t data_bytes =
      header->file_bytes - std::min(header->file_bytes, header->data_offset_bytes());
  std::uint64_t expected = 0;
  const Entry* previous = nullptr;
  for (const std::uint32_t i : order_by_offset(*header)) {
    const Entry& entry = header->entries[i];
    if (entry.begin_bytes > entry.end_bytes) continue;  // reported already
    if (entry.begin_bytes != expected) report_gap(header, entry, previous, expected);
    if (entry.end_bytes >= expected) previous = &entry;
    expected = std::max(expected, entry.end_bytes);
  }
  if (expected > data_bytes) return report_truncation(header, expected, data_bytes);
  if (expected == data_bytes) return;
  add_fault(header, "safetensors.trailing-bytes",
            Error(ErrorCode::kMalformed, "bytes follow the last tensor")
                .at_offset(header->data_offset_bytes() + expected)
                .wanted(fmt::format("a file of {} bytes", header->data_offset_bytes() + expected),
                        fmt::format("{} bytes", header->file_bytes)));
}

}  // namespace kilter::safetensors
