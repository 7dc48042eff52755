#include "base/byte_reader.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>

namespace kilter {
namespace {

using namespace std::string_view_literals;

TEST(ByteReader, ReadsNumbersOfBothByteOrders) {
  ByteReader reader(
      as_bytes("\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10"
               "\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x80"sv));
  EXPECT_EQ(reader.u16_le().value(), 0x0201);
  EXPECT_EQ(reader.u16_be().value(), 0x0304);
  EXPECT_EQ(reader.u32_le().value(), 0x08070605U);
  EXPECT_EQ(reader.u32_be().value(), 0x090a0b0cU);
  EXPECT_EQ(reader.u64_le().value(), 0x14131211100f0e0dULL);
  EXPECT_EQ(reader.u64_be().value(), 0x15161718191a1b1cULL);
  EXPECT_EQ(reader.u8().value(), 0x80);
  EXPECT_TRUE(reader.done());
}

TEST(ByteReader, MovesNothingWhenAReadFails) {
  ByteReader reader(as_bytes("abc"sv), 1000);
  ASSERT_TRUE(reader.skip(1));
  const auto number = reader.u32_le();
  ASSERT_FALSE(number);
  EXPECT_EQ(number.error().code, ErrorCode::kMalformed);
  EXPECT_EQ(number.error().offset_bytes, 1001U);
  EXPECT_EQ(number.error().expected, "4 more bytes");
  EXPECT_EQ(number.error().found, "2");
  EXPECT_EQ(reader.position(), 1U);
  EXPECT_EQ(as_text(reader.take(2).value()), "bc");
}

TEST(ByteReader, RefusesLengthsThatWouldOverflow) {
  ByteReader reader(as_bytes("abc"sv));
  ASSERT_TRUE(reader.skip(2));
  const std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
  EXPECT_FALSE(reader.take(most));
  EXPECT_FALSE(reader.skip(most - 1));
  EXPECT_FALSE(reader.seek(most));
  EXPECT_EQ(reader.remaining(), 1U);
}

TEST(ByteReader, SeeksUpToTheEndAndNoFurther) {
  ByteReader reader(as_bytes("abc"sv));
  EXPECT_TRUE(reader.seek(3));
  EXPECT_TRUE(reader.done());
  EXPECT_FALSE(reader.seek(4));
  EXPECT_TRUE(reader.seek(0));
  EXPECT_EQ(reader.u8().value(), 'a');
}

TEST(ByteReader, ReadsUpToATerminatorAndPastIt) {
  ByteReader reader(as_bytes("ab\nc"sv), 10);
  EXPECT_EQ(reader.until('\n').value(), "ab");
  EXPECT_EQ(reader.position(), 3U);
  const auto rest = reader.until('\n');
  ASSERT_FALSE(rest);
  EXPECT_EQ(rest.error().offset_bytes, 13U);
  EXPECT_EQ(reader.position(), 3U);
}

TEST(ByteReader, IsDoneAtOnceOnNoBytes) {
  ByteReader reader(Bytes{});
  EXPECT_TRUE(reader.done());
  EXPECT_FALSE(reader.u8());
  EXPECT_TRUE(reader.take(0));
}

}  // namespace
}  // namespace kilter
