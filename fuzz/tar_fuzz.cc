// Any bytes as a tar archive: read and scanned. The checksum of the first headers is mended, or
// hardly any input would get past it.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <vector>

#include "formats/tar/archive.h"
#include "formats/zip/scan_zip.h"
#include "formats/zip/sub_file.h"

namespace {

void seal(std::byte* block) {
  unsigned sum = 8 * ' ';
  for (std::size_t i = 0; i < 512; ++i)
    if (i < 148 || i >= 156) sum += static_cast<unsigned>(block[i]);
  char text[16];
  std::snprintf(text, sizeof text, "%06o ", sum);
  for (std::size_t i = 0; i < 8; ++i) block[148 + i] = static_cast<std::byte>(text[i]);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace zip = kilter::zip;
  const auto* begin = reinterpret_cast<const std::byte*>(data);
  std::vector<std::byte> bytes(begin, begin + size);
  for (std::size_t at = 0; at + 512 <= std::min<std::size_t>(bytes.size(), 4096); at += 512)
    if (bytes[at] != std::byte{0}) seal(bytes.data() + at);
  for (const auto& content : {std::vector<std::byte>(begin, begin + size), bytes}) {
    const zip::MemoryFile file("fuzz.tar", content);
    (void)kilter::tar::read_archive(file);
    zip::ScanLimits limits;
    limits.member_bytes_max = 1 << 20;
    limits.total_bytes_max = 8 << 20;
    std::vector<kilter::Finding> findings;
    (void)zip::scan_tar(file, {}, &findings, {}, limits);
  }
  return 0;
}
