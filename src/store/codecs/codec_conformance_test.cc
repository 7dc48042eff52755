// What every codec must do, run for each: the suite of the forms.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "store/codecs/codec.h"

namespace kilter::store {
namespace {

using Data = std::vector<std::byte>;

std::string hex_head(Bytes bytes) {
  std::string out;
  for (const std::byte b : bytes.first(std::min<std::size_t>(bytes.size(), 16))) {
    constexpr char kDigits[] = "0123456789abcdef";
    out += kDigits[std::to_integer<unsigned>(b) >> 4];
    out += kDigits[std::to_integer<unsigned>(b) & 15];
  }
  return out;
}

/// One thing to store: bytes, how they are looked at, and what they may lean on.
struct Case {
  std::string name;
  Element element = Element::kBytes;
  Data plain;
  Data base;
  Element base_element = Element::kBytes;
};

std::uint64_t float_bits(Element element, double value) {
  switch (element) {
    case Element::kF64:
      return std::bit_cast<std::uint64_t>(value);
    case Element::kF32:
      return std::bit_cast<std::uint32_t>(static_cast<float>(value));
    case Element::kBf16:
      return std::bit_cast<std::uint32_t>(static_cast<float>(value)) >> 16;
    case Element::kF16: {  // exponents rebased, mantissa cut: near enough for a test
      const std::uint32_t bits = std::bit_cast<std::uint32_t>(static_cast<float>(value));
      const int exponent = static_cast<int>(bits >> 23 & 0xFF) - 112;
      if (exponent <= 0) return bits >> 31 << 15;
      return bits >> 31 << 15 | static_cast<std::uint64_t>(exponent) << 10 | (bits >> 13 & 0x3FF);
    }
    default:
      return static_cast<std::uint64_t>(static_cast<std::int64_t>(value * 1000));
  }
}

Data elements_of(Element element, std::size_t count, auto&& bits_of) {
  const std::size_t width = element_bytes(element);
  Data out(count * width);
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t bits = bits_of(i);
    std::memcpy(out.data() + i * width, &bits, width);
  }
  return out;
}

Data random_data(std::size_t size, unsigned seed) {
  std::mt19937 random(seed);
  Data out(size);
  for (std::byte& byte : out) byte = static_cast<std::byte>(random());
  return out;
}

Data gaussian(Element element, std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(0, 0.02);
  return elements_of(element, count,
                     [&](std::size_t) { return float_bits(element, normal(random)); });
}

/// The same elements after a step: most a few units away, some far.
Data stepped(Element element, const Data& from, unsigned seed) {
  std::mt19937 random(seed);
  const std::size_t width = element_bytes(element);
  std::size_t i = 0;
  return elements_of(element, from.size() / width, [&](std::size_t) {
    std::uint64_t bits = 0;
    std::memcpy(&bits, from.data() + i++ * width, width);
    if (random() % 4 == 0) bits += random() % 64;
    if (random() % 1000 == 0) bits = random();
    return bits;
  });
}

Data specials(Element element, std::size_t count) {
  constexpr std::uint64_t kF32[] = {0,          0x80000000, 0x7F800000, 0xFF800000, 0x7FC00000,
                                    0x7FC00001, 0xFFFFFFFF, 1,          0x807FFFFF, 0x00800000,
                                    0x7F7FFFFF, 0x3F800000, 0x7F800001};
  return elements_of(element, count, [&](std::size_t i) {
    const std::uint64_t bits = kF32[i * 7 % std::size(kF32)];
    return element_bytes(element) == 8 ? bits << 32 | bits
                                       : bits >> (8 * (4 - element_bytes(element)));
  });
}

std::vector<Case> plain_cases(Element element) {
  const std::size_t width = element_bytes(element);
  std::vector<Case> out;
  const auto add = [&](std::string name, Data plain) {
    Data base = stepped(element, plain, 3);
    base.resize(plain.size());
    out.push_back({std::move(name), element, std::move(plain), std::move(base), element});
  };
  for (const std::size_t size : {0U, 1U, 2U, 3U, 7U, 8U, 31U, 255U, 1025U, 4097U}) {
    add("random of " + std::to_string(size), random_data(size, 1));
    add("zeros of " + std::to_string(size), Data(size));
    add("sevens of " + std::to_string(size), Data(size, std::byte{7}));
  }
  for (const std::size_t count : {1U, 127U, 128U, 129U, 16383U, 16384U, 20001U}) {
    add("gaussian of " + std::to_string(count), gaussian(element, count, 2));
    add("specials of " + std::to_string(count), specials(element, count));
  }
  Data sparse(100000 * width);
  for (std::size_t i = 0; i < 5000; ++i) sparse[i * 3] = static_cast<std::byte>(i * 37);
  add("sparse", std::move(sparse));
  Data odd = gaussian(element, 40000, 5);
  odd.push_back(std::byte{1});
  add("odd end", std::move(odd));
  return out;
}

Data wide_of(Element element, std::size_t count, unsigned seed) {
  (void)element;
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 0.02F);
  return elements_of(Element::kF32, count, [&](std::size_t i) -> std::uint64_t {
    if (i % 101 == 0) return random();
    return std::bit_cast<std::uint32_t>(normal(random));
  });
}

std::vector<Case> all_cases() {
  std::vector<Case> out;
  for (std::uint8_t number = 0; number < kElementCount; ++number) {
    const auto element = static_cast<Element>(number);
    for (Case& one : plain_cases(element)) out.push_back(std::move(one));
    for (const std::size_t count : {1U, 200U, 30000U}) {
      Case cast{"cast of " + std::to_string(count), element, gaussian(element, count, 7),
                wide_of(element, count, 8), Element::kF32};
      out.push_back(std::move(cast));
    }
  }
  return out;
}

class CodecConformance : public testing::TestWithParam<const Codec*> {};

/// Encodes twice, decodes once, where the codec takes such a chunk.
void expect_round_trip(const Codec& codec, const Case& c) {
  const CodecBase base{c.base_element, c.base};
  const CodecBase* const with = codec.needs_base() ? &base : nullptr;
  if (!codec.suits(c.element, c.plain, with)) return;
  (void)codec.estimate_bytes(c.element, c.plain, with);
  RawBytes payload, again;
  if (!codec.encode(c.element, c.plain, with, payload)) return;
  ASSERT_LT(payload.size(), c.plain.size());
  ASSERT_TRUE(codec.encode(c.element, c.plain, with, again));
  ASSERT_TRUE(payload == again);
  Data plain(c.plain.size(), std::byte{0xAA});
  const Status decoded = codec.decode(c.element, payload, with, plain);
  ASSERT_TRUE(decoded) << decoded.error().text();
  ASSERT_TRUE(plain == c.plain) << hex_head(payload);
}

TEST_P(CodecConformance, GivesBackEveryKindOfBytes) {
  for (const Case& c : all_cases()) {
    SCOPED_TRACE(std::string(element_name(c.element)) + ", " + c.name);
    ASSERT_NO_FATAL_FAILURE(expect_round_trip(*GetParam(), c));
  }
}

TEST_P(CodecConformance, GivesBackChunksOfSeveralMiB) {
  constexpr std::size_t kElements = (1 << 20) + 1;
  for (const Element element : {Element::kBf16, Element::kF32, Element::kInt16}) {
    Data plain = gaussian(element, kElements, 1);
    Data base = GetParam()->form() == Form::kCast ? wide_of(element, kElements, 2)
                                                  : stepped(element, plain, 3);
    const Element base_element = GetParam()->form() == Form::kCast ? Element::kF32 : element;
    SCOPED_TRACE(element_name(element));
    ASSERT_NO_FATAL_FAILURE(expect_round_trip(
        *GetParam(), {"several MiB", element, std::move(plain), std::move(base), base_element}));
  }
}

std::string codec_name(const testing::TestParamInfo<const Codec*>& info) {
  return std::string(form_name(info.param->form()));
}

INSTANTIATE_TEST_SUITE_P(Forms, CodecConformance,
                         testing::ValuesIn(all_codecs().begin(), all_codecs().end()), codec_name);

}  // namespace
}  // namespace kilter::store
