#include "base/text.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>

namespace kilter {
namespace {

using namespace std::string_literals;

TEST(Text, EscapesControlBidirectionalAndInvalidBytes) {
  EXPECT_EQ(escape_text("plain ünïcode 模型"), "plain ünïcode 模型");
  EXPECT_EQ(escape_text("a\n\r\tb"), "a\\n\\r\\tb");
  EXPECT_EQ(escape_text("\x1b]0;x\x07"), "\\x1b]0;x\\x07");
  EXPECT_EQ(escape_text("a\0b"s), "a\\x00b");
  EXPECT_EQ(escape_text("\xff\xc0\x80"), "\\xff\\xc0\\x80");
  EXPECT_EQ(escape_text("\xc2\x9b"), "\\x9b");  // CSI as one character
  EXPECT_EQ(escape_text("a\xe2\x80\xae"
                        "b"),
            "a\\u202eb");  // right-to-left override
  EXPECT_EQ(escape_text("\xe2\x81\xa6\xef\xbb\xbf"), "\\u2066\\ufeff");
  EXPECT_EQ(escape_text("\xf3\xa0\x81\x81"), "\\U000e0041");  // a tag character
}

TEST(Text, CutsAtCharactersNotBytes) {
  EXPECT_EQ(escape_text("äöü", 3), "äöü");
  EXPECT_EQ(escape_text("äöüx", 3), "äöü…");
  EXPECT_EQ(escape_text("abc", 0), "…");
  EXPECT_EQ(escape_text("", 0), "");
}

TEST(Text, LowersAsciiAlone) {
  EXPECT_EQ(ascii_lower("AZaz[@`{09"), "azaz[@`{09");
  EXPECT_EQ(ascii_lower("\xc3\x84\xff"), "\xc3\x84\xff");
}

TEST(Text, FormatsBytesInBinaryUnits) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(1023), "1023 B");
  EXPECT_EQ(format_bytes(1024), "1 KiB");
  EXPECT_EQ(format_bytes(1536), "1.5 KiB");
  EXPECT_EQ(format_bytes((1ULL << 20U) - 1), "1 MiB");
  EXPECT_EQ(format_bytes(3ULL << 29U), "1.5 GiB");
  EXPECT_EQ(format_bytes(std::numeric_limits<std::uint64_t>::max()), "16 EiB");
}

TEST(Text, FormatsRates) {
  EXPECT_EQ(format_rate(2.41e9), "2.41 GB/s");
  EXPECT_EQ(format_rate(1.2e8), "0.12 GB/s");
  EXPECT_EQ(format_rate(5.25e7), "52.5 MB/s");
  EXPECT_EQ(format_rate(1500), "1.5 kB/s");
  EXPECT_EQ(format_rate(std::numeric_limits<double>::infinity()), "? GB/s");
}

TEST(Text, FormatsCountsAndQuantities) {
  EXPECT_EQ(format_count(0), "0");
  EXPECT_EQ(format_count(999), "999");
  EXPECT_EQ(format_count(1000), "1,000");
  EXPECT_EQ(format_count(1234567), "1,234,567");
  EXPECT_EQ(format_quantity(999), "999");
  EXPECT_EQ(format_quantity(1'500'000), "1.5 M");
  EXPECT_EQ(format_quantity(124'439'808), "124 M");
  EXPECT_EQ(format_quantity(7'241'732'096), "7.24 B");
  EXPECT_EQ(format_quantity(999'999), "1 M");
  EXPECT_EQ(format_quantity(70'553'706'496), "70.6 B");
  EXPECT_EQ(format_quantity(9'999'000'000), "10 B");
}

TEST(Text, ValidatesUtf8) {
  EXPECT_TRUE(is_valid_utf8(""));
  EXPECT_TRUE(is_valid_utf8("long enough to pass the fast path é and on"));
  EXPECT_TRUE(is_valid_utf8("\xf4\x8f\xbf\xbf"));
  EXPECT_FALSE(is_valid_utf8("\xf4\x90\x80\x80"));  // past U+10FFFF
  EXPECT_FALSE(is_valid_utf8("\xed\xa0\x80"));      // a surrogate
  EXPECT_FALSE(is_valid_utf8("\xe0\x80\xaf"));      // overlong
  EXPECT_FALSE(is_valid_utf8("\xc1\xbf"));          // overlong
  EXPECT_FALSE(is_valid_utf8("12345678\x80"));      // a tail without a lead
  EXPECT_FALSE(is_valid_utf8("1234567\xe2\x82"));   // cut off
  EXPECT_FALSE(is_valid_utf8("\xf8\x88\x80\x80\x80"));
}

}  // namespace
}  // namespace kilter
