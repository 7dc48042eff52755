#include "base/base64.h"

#include <gtest/gtest.h>

#include <string>

namespace kilter {
namespace {

TEST(Base64, MakesTheStandardsExamples) {  // RFC 4648, section 10
  EXPECT_EQ(base64_encode(as_bytes("")), "");
  EXPECT_EQ(base64_encode(as_bytes("f")), "Zg==");
  EXPECT_EQ(base64_encode(as_bytes("fo")), "Zm8=");
  EXPECT_EQ(base64_encode(as_bytes("foo")), "Zm9v");
  EXPECT_EQ(base64_encode(as_bytes("foobar")), "Zm9vYmFy");
  EXPECT_EQ(base64_encode(as_bytes("\xfb\xff")), "+/8=");
}

TEST(Base64, ReadsBackWhatItWrote) {
  std::string bytes;
  for (int i = 0; i < 300; ++i) {
    const auto decoded = base64_decode(base64_encode(as_bytes(bytes)));
    ASSERT_TRUE(decoded) << i;
    ASSERT_EQ(as_text(*decoded), bytes);
    bytes += static_cast<char>(i * 37);
  }
}

TEST(Base64, RefusesTextsOfNoBytesAndSaysWhere) {
  EXPECT_EQ(base64_decode("Zg=").error().offset_bytes, 3U);
  EXPECT_EQ(base64_decode("Zg").error().code, ErrorCode::kMalformed);
  EXPECT_EQ(base64_decode("Z*==").error().offset_bytes, 1U);
  EXPECT_EQ(base64_decode("Zm9\n").error().offset_bytes, 3U);
  EXPECT_FALSE(base64_decode("Zh=="));  // unused bits are not zero
  EXPECT_FALSE(base64_decode("Z==="));
  EXPECT_FALSE(base64_decode("===="));
  EXPECT_FALSE(base64_decode("Zg==Zg=="));
}

}  // namespace
}  // namespace kilter
