#include "base/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace kilter {
namespace {

TEST(Utf8, ReadsBackEveryCodePointItWrites) {
  for (char32_t code = 0; code <= 0x10ffff; ++code) {
    if (code >= 0xd800 && code <= 0xdfff) continue;
    std::string text;
    append_utf8(text, code);
    const Utf8Char c = decode_utf8(text, 0);
    ASSERT_TRUE(c.valid) << static_cast<unsigned>(code);
    ASSERT_EQ(c.code, code);
    ASSERT_EQ(c.length_bytes, text.size());
  }
}

TEST(Utf8, ReplacesEachByteOfNoCharacter) {
  EXPECT_EQ(replace_invalid_utf8("a\xff"
                                 "b\xe2\x82"),
            "a\xef\xbf\xbd"
            "b\xef\xbf\xbd\xef\xbf\xbd");
  EXPECT_EQ(replace_invalid_utf8("fine é"), "fine é");
}

}  // namespace
}  // namespace kilter
