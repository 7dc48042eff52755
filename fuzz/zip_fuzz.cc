// Any bytes as a zip archive: read, salvaged, every member read and checked, scanned.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "formats/zip/archive.h"
#include "formats/zip/scan_zip.h"
#include "formats/zip/sub_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace zip = kilter::zip;
  const auto* begin = reinterpret_cast<const std::byte*>(data);
  const zip::MemoryFile file("fuzz.zip", std::vector<std::byte>(begin, begin + size));
  constexpr std::uint64_t kBytesMax = 1 << 20;
  constexpr std::size_t kMemberCountMax = 64;
  const auto visit = [&](const auto& archive) {
    if (!archive) return;
    for (std::size_t i = 0; i < std::min(archive->members.size(), kMemberCountMax); ++i) {
      const zip::Member& member = archive->members[i];
      (void)archive->find(member.name);
      if (member.bytes > kBytesMax) continue;
      (void)zip::read_member(file, member, kBytesMax);
      (void)zip::read_member_anyway(file, member, kBytesMax);
      (void)zip::check_member(file, member);
    }
  };
  visit(zip::read_archive(file));
  visit(zip::salvage_archive(file));
  zip::ScanLimits limits;
  limits.member_bytes_max = kBytesMax;
  limits.total_bytes_max = 8 * kBytesMax;
  std::vector<kilter::Finding> findings;
  (void)zip::scan_zip(file, {}, &findings, {}, limits);
  return 0;
}
