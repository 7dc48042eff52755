#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <random>
#include <vector>

#include "store/codecs/codec.h"

namespace kilter::store {
namespace {

using Chunk = std::vector<std::byte>;

Chunk noise(std::size_t bytes) {
  std::mt19937 random(11);
  Chunk out(bytes);
  for (std::byte& byte : out) byte = static_cast<std::byte>(random());
  return out;
}

Chunk masters(std::size_t count, float drift) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal(0, 0.02F);
  Chunk out(4 * count);
  for (std::size_t i = 0; i < count; ++i) {
    const float value = normal(random) + drift * normal(random);
    std::memcpy(out.data() + 4 * i, &value, 4);
  }
  return out;
}

Chunk to_bf16(const Chunk& wide) {
  Chunk out(wide.size() / 2);
  for (std::size_t i = 0; i < out.size() / 2; ++i) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, wide.data() + 4 * i, 4);
    bits = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
    std::memcpy(out.data() + 2 * i, &bits, 2);
  }
  return out;
}

void expect_back(Element element, const Chunk& plain, std::span<const CodecBase> bases,
                 const EncodedChunk& encoded) {
  Chunk back(plain.size());
  const Bytes payload = encoded.form == Form::kRaw ? Bytes(plain) : Bytes(encoded.payload);
  const CodecBase* base = encoded.base ? &bases[*encoded.base] : nullptr;
  ASSERT_TRUE(find_codec(encoded.form)->decode(element, payload, base, back));
  EXPECT_TRUE(back == plain);
}

TEST(EncodeSmallest, LeavesWhatDoesNotShrinkRaw) {
  for (const std::size_t bytes : {0U, 1U, 5U, 4096U, 1U << 20}) {
    for (std::uint8_t number = 0; number < kElementCount; ++number) {
      const Chunk plain = noise(bytes);
      for (const Effort effort : {Effort::kFast, Effort::kSmall}) {
        const auto element = static_cast<Element>(number);
        const EncodedChunk encoded = encode_smallest(element, plain, {}, effort);
        if (encoded.form == Form::kRaw) {
          EXPECT_TRUE(encoded.payload.empty());
          continue;
        }
        EXPECT_LT(encoded.payload.size(), plain.size());  // noise has exponents of f16 kinds too
        expect_back(element, plain, {}, encoded);
      }
    }
  }
}

TEST(EncodeSmallest, TakesTheCastOfAMasterAndTheDeltaToTheStepBefore) {
  const Chunk before = masters(300000, 0), now = masters(300000, 1e-4F);
  const Chunk weights = to_bf16(now), old_weights = to_bf16(before);
  const std::vector<CodecBase> for_weights = {{Element::kBf16, old_weights}, {Element::kF32, now}};
  const EncodedChunk cast = encode_smallest(Element::kBf16, weights, for_weights, Effort::kSmall);
  EXPECT_EQ(cast.form, Form::kCast);
  EXPECT_EQ(cast.base, 1U);
  EXPECT_EQ(cast.payload.size(), 5U);
  expect_back(Element::kBf16, weights, for_weights, cast);

  const std::vector<CodecBase> for_master = {{Element::kF32, before}};
  const EncodedChunk delta = encode_smallest(Element::kF32, now, for_master, Effort::kSmall);
  EXPECT_EQ(delta.form, Form::kDelta);
  EXPECT_LT(delta.payload.size(), now.size() * 6 / 10);
  expect_back(Element::kF32, now, for_master, delta);
}

TEST(EncodeSmallest, FastUsesNoBaseAndSmallIsNeverLarger) {
  const Chunk before = masters(100000, 0), now = masters(100000, 1e-3F);
  const std::vector<CodecBase> bases = {{Element::kF32, before}};
  const EncodedChunk fast = encode_smallest(Element::kF32, now, bases, Effort::kFast);
  EXPECT_EQ(fast.form, Form::kExponent);
  EXPECT_FALSE(fast.base);
  const EncodedChunk small = encode_smallest(Element::kF32, now, bases, Effort::kSmall);
  EXPECT_LE(small.payload.size(), fast.payload.size());
  const EncodedChunk again = encode_smallest(Element::kF32, now, bases, Effort::kSmall);
  EXPECT_TRUE(again.payload == small.payload);
}

TEST(EncodeSmallest, ABaseThatIsNoneOfItsKindIsPassedOver) {
  const Chunk now = masters(50000, 0), short_one = masters(49999, 0);
  const std::vector<CodecBase> bases = {
      {Element::kBytes, now}, {Element::kBf16, now}, {Element::kF32, short_one}};
  EXPECT_FALSE(encode_smallest(Element::kF32, now, bases, Effort::kSmall).base);
}

TEST(EncodeSmallest, SeesFloat32ThatHoldsBfloat16) {
  Chunk plain = masters(200000, 0);
  for (std::size_t i = 0; i < plain.size(); i += 4) plain[i] = plain[i + 1] = std::byte{0};
  const EncodedChunk encoded = encode_smallest(Element::kF32, plain, {}, Effort::kFast);
  EXPECT_EQ(encoded.form, Form::kExponent);
  EXPECT_LT(encoded.payload.size() * 29, plain.size() * 10);
  expect_back(Element::kF32, plain, {}, encoded);
}

TEST(EncodeSmallest, AnUntouchedDecayingAverageCostsNextToNothing) {
  const Chunk before = masters(200000, 0);
  Chunk now = before;
  for (std::size_t i = 0; i < now.size(); i += 4) {
    float value = 0;
    std::memcpy(&value, now.data() + i, 4);
    for (int step = 0; step < 7; ++step) value *= 0.999F;
    std::memcpy(now.data() + i, &value, 4);
  }
  const std::vector<CodecBase> bases = {{Element::kF32, before}};
  const EncodedChunk encoded = encode_smallest(Element::kF32, now, bases, Effort::kSmall);
  EXPECT_EQ(encoded.form, Form::kDelta);
  EXPECT_LT(encoded.payload.size(), 200U);
  expect_back(Element::kF32, now, bases, encoded);
}

}  // namespace
}  // namespace kilter::store
