// Payloads of tiny inputs, byte for byte: a form may never drift. The examples of
// spec/store-forms.md are among them. All are from encoders that a decoder written from the
// specification alone has read back.
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "store/codecs/codec.h"
#include "store/codecs/plane.h"
#include "store/codecs/rans.h"

namespace kilter::store {
namespace {

std::string golden_hex(Bytes bytes) {
  std::string out;
  for (const std::byte b : bytes) {
    constexpr char kDigits[] = "0123456789abcdef";
    out += kDigits[std::to_integer<unsigned>(b) >> 4];
    out += kDigits[std::to_integer<unsigned>(b) & 15];
  }
  return out;
}

template <typename T>
Bytes bytes_of(const std::vector<T>& items) {
  return std::as_bytes(std::span(items));
}

std::string golden_symbols(const std::vector<std::uint8_t>& symbols,
                           const std::vector<std::uint8_t>& contexts, std::size_t count) {
  RawBytes out;
  encode_symbols(symbols, contexts, count, out);
  return golden_hex(out);
}

std::string golden_plane(const std::vector<std::uint8_t>& plane) {
  RawBytes out;
  encode_plane(plane, out);
  return golden_hex(out);
}

std::string golden_payload(Form form, Element element, Bytes plain,
                           const CodecBase* base = nullptr) {
  RawBytes out;
  if (!find_codec(form)->encode(element, plain, base, out)) return "not smaller";
  std::vector<std::byte> back(plain.size());
  const Status decoded = find_codec(form)->decode(element, out, base, back);
  if (!decoded) return decoded.error().text();
  return std::equal(back.begin(), back.end(), plain.begin()) ? golden_hex(out) : "differs";
}

TEST(CodecGolden, CodedSymbols) {
  EXPECT_EQ(golden_symbols({7, 7, 7, 9}, {}, 1),
            "0709801800800800000000005401000054010000540100000c0400");
  EXPECT_EQ(golden_symbols({3, 5, 3, 6}, {0, 1, 0, 1}, 2),
            "030380200506801080100000000000000100000002000000010000080200");
  EXPECT_EQ(golden_symbols({}, {}, 1), "01000000000000000100000001000000010000000100");
  std::vector<std::uint8_t> thirds(24);
  for (std::size_t i = 0; i < thirds.size(); i += 3) thirds[i] = 1;
  EXPECT_EQ(golden_symbols(thirds, {}, 1), "0001ab15d50a0000000026eb2c00ffe32d00123a2d0026eb2c00");
}

TEST(CodecGolden, Planes) {
  EXPECT_EQ(golden_plane({9, 9, 9, 9, 9}), "0109");
  EXPECT_EQ(golden_plane({1, 2, 3}), "00010203");
  EXPECT_EQ(golden_plane({}), "00");
  std::vector<std::uint8_t> even(64);
  for (std::size_t i = 0; i < even.size(); ++i) even[i] = static_cast<std::uint8_t>(i * 37 * 2);
  EXPECT_EQ(
      golden_plane(even),
      "0300000000008092f24dc97907a8a6fcc20b1b56d0bae6474eb8a6f88ef0cc8859f7a0a2fa41cbfa47c8b6e4"
      "c60d9896f08aee4b4839e7989ef8c08ada37");
  std::vector<std::byte> sevens = {std::byte{3}, std::byte{0},    std::byte{1},
                                   std::byte{0}, std::byte{0},    std::byte{0},
                                   std::byte{1}, std::byte{0x81}, std::byte{0x3F}};
  std::vector<std::uint8_t> back(2);
  PayloadReader in(sevens);
  ASSERT_EQ(*decode_plane(in, 2, back), back.data());
  EXPECT_EQ(back, (std::vector<std::uint8_t>{0x02, 0xFF}));
}

TEST(CodecGolden, Exponent) {
  const std::vector<std::uint16_t> zeros(300);
  EXPECT_EQ(golden_payload(Form::kExponent, Element::kBf16, bytes_of(zeros)), "0101000000");
  std::vector<std::uint16_t> four(64);
  for (std::size_t i = 0; i < four.size(); ++i) {
    four[i] = static_cast<std::uint16_t>(0x3C00 + (i % 4) * 0x100);
  }
  std::string cycle;
  for (int i = 0; i < 8; ++i) cycle += "783ddf8fd7f3fd";
  EXPECT_EQ(golden_payload(Form::kExponent, Element::kBf16, bytes_of(four)),
            "0101010100030000000000" + cycle);
}

TEST(CodecGolden, Delta) {
  std::vector<std::uint32_t> base(64), plain(64);
  for (std::uint32_t i = 0; i < 64; ++i) {
    base[i] = 0x3F800000 + i * 0x1000;
    plain[i] = base[i] + (i % 8 == 0 ? 5 : 0) - (i % 16 == 4 ? 1 : 0);
  }
  const CodecBase with{Element::kF32, bytes_of(base)};
  EXPECT_EQ(
      golden_payload(Form::kDelta, Element::kF32, bytes_of(plain), &with),
      "01000000000087000102010001000100010001000100010001000007801a008002000000008004010001000100"
      "010001000100010002000000126f570200071b0000071b0000071b004efc001fff");
}

TEST(CodecGolden, DeltaOfADecayingAverage) {
  std::vector<float> base(256), plain(256);
  for (std::size_t i = 0; i < base.size(); ++i) {
    base[i] = plain[i] = static_cast<float>(i + 1) / 1024.0F;
    for (int step = 0; step < 5; ++step) plain[i] *= 0.9F;
  }
  const CodecBase with{Element::kF32, bytes_of(base)};
  EXPECT_EQ(golden_payload(Form::kDelta, Element::kF32, bytes_of(plain), &with),
            "01056666663f000001010100010001000100010001000100010001000100010001000100010001000100"
            "0000000000000100000001000000010000000100");
}

TEST(CodecGolden, Cast) {
  std::vector<std::uint32_t> base(8);
  std::vector<std::uint16_t> plain = {0x3F80, 0x3F82, 0x3F83, 0x1234,
                                      0x3F86, 0x3F88, 0x3F89, 0x3F8A};
  for (std::uint32_t i = 0; i < 8; ++i) base[i] = 0x3F800000 + i * 0x18000;
  const CodecBase with{Element::kF32, bytes_of(base)};
  EXPECT_EQ(golden_payload(Form::kCast, Element::kBf16, bytes_of(plain), &with),
            "0101000000033412");
}

}  // namespace
}  // namespace kilter::store
