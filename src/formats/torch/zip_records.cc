#include "formats/torch/zip_records.h"

#include <algorithm>

#include "base/checked.h"

namespace kilter::torch {
namespace {

using namespace zip;

/// As torch's own writer sets them: CRC after the data, names in UTF-8.
constexpr std::uint16_t kRecordFlags = kFlagDescriptor | kFlagUtf8;

template <typename T>
void put_record(std::string* out, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i)
    *out += static_cast<char>((static_cast<std::uint64_t>(value) >> (8 * i)) & 0xff);
}

}  // namespace

std::string local_header(const ZipEntry& entry, std::uint64_t offset) {
  std::string extra;
  if (entry.wide()) {
    put_record(&extra, kExtraZip64);
    put_record(&extra, std::uint16_t{16});
    put_record(&extra, entry.bytes);
    put_record(&extra, entry.bytes);
  }
  constexpr std::uint64_t kFieldBytes = 4;
  const std::uint64_t plain =
      offset + kLocalHeaderBytes + entry.name.size() + extra.size() + kFieldBytes;
  const std::uint64_t padding = round_up(plain, kPayloadAlign) - plain;
  extra += "FB";
  put_record(&extra, static_cast<std::uint16_t>(padding));
  extra.append(static_cast<std::size_t>(padding), 'Z');
  std::string out;
  put_record(&out, kLocalSignature);
  put_record(&out, static_cast<std::uint16_t>(entry.wide() ? 45 : 0));
  put_record(&out, kRecordFlags);
  put_record(&out, kMethodStored);
  put_record(&out, std::uint32_t{0});  // time and date: none, so that equal input gives equal bytes
  put_record(&out, std::uint32_t{0});  // CRC: follows the data
  put_record(&out, entry.wide() ? kSentinel32 : 0U);
  put_record(&out, entry.wide() ? kSentinel32 : 0U);
  put_record(&out, static_cast<std::uint16_t>(entry.name.size()));
  put_record(&out, static_cast<std::uint16_t>(extra.size()));
  return out + entry.name + extra;
}

std::string descriptor(const ZipEntry& entry, std::uint32_t crc32) {
  std::string out;
  put_record(&out, kDescriptorSignature);
  put_record(&out, crc32);
  for (int i = 0; i < 2; ++i) {
    if (entry.wide()) {
      put_record(&out, entry.bytes);
    } else {
      put_record(&out, static_cast<std::uint32_t>(entry.bytes));
    }
  }
  return out;
}

std::string central_entry(const ZipEntry& entry, std::uint32_t crc32) {
  const bool far = entry.header_offset_bytes >= kSentinel32;
  std::string extra;
  if (entry.wide() || far) {
    put_record(&extra, kExtraZip64);
    put_record(&extra, static_cast<std::uint16_t>((entry.wide() ? 16 : 0) + (far ? 8 : 0)));
    if (entry.wide()) put_record(&extra, entry.bytes);
    if (entry.wide()) put_record(&extra, entry.bytes);
    if (far) put_record(&extra, entry.header_offset_bytes);
  }
  const std::uint32_t bytes = entry.wide() ? kSentinel32 : static_cast<std::uint32_t>(entry.bytes);
  std::string out;
  put_record(&out, kCentralSignature);
  put_record(&out, std::uint16_t{0});
  put_record(&out, static_cast<std::uint16_t>(extra.empty() ? 0 : 45));
  put_record(&out, kRecordFlags);
  put_record(&out, kMethodStored);
  put_record(&out, std::uint32_t{0});
  put_record(&out, crc32);
  put_record(&out, bytes);
  put_record(&out, bytes);
  put_record(&out, static_cast<std::uint16_t>(entry.name.size()));
  put_record(&out, static_cast<std::uint16_t>(extra.size()));
  put_record(&out, std::uint16_t{0});  // comment
  put_record(&out, std::uint16_t{0});  // disk
  put_record(&out, std::uint16_t{0});
  put_record(&out, std::uint32_t{0});
  put_record(&out, far ? kSentinel32 : static_cast<std::uint32_t>(entry.header_offset_bytes));
  return out + entry.name + extra;
}

std::string end_records(std::uint64_t count, std::uint64_t offset, std::uint64_t bytes) {
  std::string out;
  put_record(&out, kEnd64Signature);
  put_record(&out, kEnd64Bytes - 12);
  put_record(&out, std::uint16_t{45});
  put_record(&out, std::uint16_t{45});
  put_record(&out, std::uint32_t{0});
  put_record(&out, std::uint32_t{0});
  put_record(&out, count);
  put_record(&out, count);
  put_record(&out, bytes);
  put_record(&out, offset);
  put_record(&out, kLocator64Signature);
  put_record(&out, std::uint32_t{0});
  put_record(&out, offset + bytes);
  put_record(&out, std::uint32_t{1});
  const auto narrow = static_cast<std::uint16_t>(std::min<std::uint64_t>(count, kSentinel16));
  put_record(&out, kEndSignature);
  put_record(&out, std::uint32_t{0});
  put_record(&out, narrow);
  put_record(&out, narrow);
  put_record(&out, static_cast<std::uint32_t>(std::min<std::uint64_t>(bytes, kSentinel32)));
  put_record(&out, static_cast<std::uint32_t>(std::min<std::uint64_t>(offset, kSentinel32)));
  put_record(&out, std::uint16_t{0});
  return out;
}

}  // namespace kilter::torch
