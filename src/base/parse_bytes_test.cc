#include <gtest/gtest.h>

#include <cstdint>
#include <string_view>

#include "base/text.h"

namespace kilter {
namespace {

std::uint64_t parsed(std::string_view text) {
  std::uint64_t bytes = 0;
  EXPECT_TRUE(parse_bytes(text, &bytes)) << text;
  return bytes;
}

TEST(ParseBytes, ReadsBinaryAndDecimalUnits) {
  EXPECT_EQ(parsed("4096"), 4096U);
  EXPECT_EQ(parsed("0"), 0U);
  EXPECT_EQ(parsed("512MiB"), 512U << 20U);
  EXPECT_EQ(parsed("2G"), 2ULL << 30U);
  EXPECT_EQ(parsed("1.5GB"), 1'500'000'000U);
  EXPECT_EQ(parsed("1.5 gib"), 3ULL << 29U);
  EXPECT_EQ(parsed("10kb"), 10'000U);
  EXPECT_EQ(parsed("7B"), 7U);
  EXPECT_EQ(parsed("16777215T"), 16777215ULL << 40U);
}

TEST(ParseBytes, RefusesWhatIsNoSize) {
  std::uint64_t bytes = 42;
  for (const std::string_view text :
       {"", "G", "-1", "+1", "1.", ".5G", "1..5G", "1,5G", "1e9", "0x10", "2GG", "2 G B",
        "18446744073709551616", "16777216T", "99999999999999999999999", "1.1234567G"}) {
    EXPECT_FALSE(parse_bytes(text, &bytes)) << text;
  }
  EXPECT_EQ(bytes, 42U);
}

}  // namespace
}  // namespace kilter
