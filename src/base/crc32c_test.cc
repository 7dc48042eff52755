#include "base/crc32c.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace kilter {
namespace {

TEST(Crc32c, AgreesWithPublishedVectors) {
  // RFC 3720, B.4.
  EXPECT_EQ(crc32c(as_bytes(std::string(32, '\0'))), 0x8a9136aaU);
  EXPECT_EQ(crc32c(as_bytes(std::string(32, '\xff'))), 0x62a8ab43U);
  std::string rising;
  for (int i = 0; i < 32; ++i) rising += static_cast<char>(i);
  EXPECT_EQ(crc32c(as_bytes(rising)), 0x46dd794eU);
  EXPECT_EQ(crc32c(as_bytes("123456789")), 0xe3069283U);
  EXPECT_EQ(crc32c({}), 0U);
}

TEST(Crc32c, FastAndReferenceAgreeOnEveryLengthAndAlignment) {
  std::mt19937 random(4);
  std::vector<std::byte> bytes(600);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  for (std::size_t begin = 0; begin < 9; ++begin) {
    for (std::size_t size = 0; begin + size <= bytes.size(); size += 1 + size / 7) {
      const Bytes part = Bytes(bytes).subspan(begin, size);
      EXPECT_EQ(crc32c(part, 77), crc32c_reference(part, 77)) << begin << " " << size;
      const std::size_t half = size / 2;
      EXPECT_EQ(crc32c(part.subspan(half), crc32c(part.first(half))), crc32c_reference(part));
    }
  }
}

TEST(Crc32c, MaskingIsUndone) {
  for (const std::uint32_t crc : {0U, 1U, 0x8a9136aaU, 0xffffffffU})
    EXPECT_EQ(unmask_crc32c(mask_crc32c(crc)), crc);
  EXPECT_NE(mask_crc32c(0), 0U);
}

}  // namespace
}  // namespace kilter
