// Payloads that nobody's encoder made: cut, changed, or made up.
#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <vector>

#include "store/codecs/codec.h"

namespace kilter::store {
namespace {

struct HostileCase {
  Form form;
  Element element;
  std::vector<std::byte> plain, base;
  RawBytes payload;
  CodecBase with() const { return {form == Form::kCast ? Element::kF32 : element, base}; }
};

std::vector<std::byte> floats(std::size_t count, unsigned seed, float noise) {
  std::mt19937 random(7);
  std::mt19937 other(seed);
  std::vector<std::byte> out(4 * count);
  for (std::size_t i = 0; i < count; ++i) {
    const auto value = (static_cast<float>(random() % 2000) - 1000.0F) / 512.0F *
                       (1.0F + noise * static_cast<float>(other() % 100));
    std::memcpy(out.data() + 4 * i, &value, 4);
  }
  return out;
}

std::vector<std::byte> upper_halves(const std::vector<std::byte>& wide) {
  std::vector<std::byte> out;
  for (std::size_t i = 0; i < wide.size(); i += 4) {
    out.push_back(wide[i + 2]);
    out.push_back(wide[i + 3]);
  }
  return out;
}

/// One payload of each form, of `count` elements.
std::vector<HostileCase> hostile_cases(std::size_t count) {
  const auto base = floats(count, 1, 0), next = floats(count, 2, 1e-6F);
  auto half = upper_halves(base);
  std::vector<HostileCase> out = {
      {Form::kZstd, Element::kBytes, std::vector<std::byte>(count, std::byte{5}), {}, {}},
      {Form::kExponent, Element::kBf16, half, {}, {}},
      {Form::kExponent, Element::kF32, next, {}, {}},
      {Form::kDelta, Element::kF32, next, base, {}},
      {Form::kDelta, Element::kBf16, upper_halves(next), half, {}},
      {Form::kCast, Element::kBf16, half, base, {}},
  };
  for (HostileCase& c : out) {
    const CodecBase with = c.with();
    EXPECT_TRUE(find_codec(c.form)->encode(c.element, c.plain, &with, c.payload))
        << form_name(c.form);
  }
  return out;
}

/// Decodes into memory with guards on both sides, which must stay.
Status decode_guarded(const HostileCase& c, Bytes payload) {
  constexpr std::size_t kGuard = 64;
  std::vector<std::byte> room(c.plain.size() + 2 * kGuard, std::byte{0xA5});
  const CodecBase with = c.with();
  const Status status = find_codec(c.form)->decode(c.element, payload, &with,
                                                   std::span(room).subspan(kGuard, c.plain.size()));
  for (std::size_t i = 0; i < kGuard; ++i) {
    EXPECT_EQ(room[i], std::byte{0xA5});
    EXPECT_EQ(room[room.size() - 1 - i], std::byte{0xA5});
  }
  return status;
}

TEST(CodecHostile, EveryTruncationIsCorrupt) {
  for (const HostileCase& c : hostile_cases(300)) {
    for (std::size_t size = 0; size < c.payload.size(); ++size) {
      const RawBytes cut(c.payload.begin(), c.payload.begin() + static_cast<std::ptrdiff_t>(size));
      const Status status = decode_guarded(c, cut);
      ASSERT_FALSE(status) << form_name(c.form) << " of " << size;
      ASSERT_EQ(status.error().code, ErrorCode::kCorrupt);
    }
    RawBytes longer = c.payload;
    longer.push_back(std::byte{0});
    ASSERT_FALSE(decode_guarded(c, longer)) << form_name(c.form);
  }
}

TEST(CodecHostile, EveryChangedByteGivesAnErrorOrOtherBytes) {
  for (const HostileCase& c : hostile_cases(200)) {
    for (std::size_t at = 0; at < c.payload.size(); ++at) {
      for (unsigned flip : {1U, 2U, 0x10U, 0x80U, 0xFFU}) {
        RawBytes changed = c.payload;
        changed[at] ^= static_cast<std::byte>(flip);
        const Status status = decode_guarded(c, changed);
        if (!status) {
          ASSERT_EQ(status.error().code, ErrorCode::kCorrupt);
        }
      }
    }
  }
}

TEST(CodecHostile, VectorPathsStayInsideTooWhenTheirBytesAreChanged) {
  std::mt19937 random(3);
  for (const HostileCase& c : hostile_cases(70000)) {
    for (int round = 0; round < 60; ++round) {
      RawBytes changed = c.payload;
      for (int k = 0; k < 1 + round % 5; ++k) {
        const std::size_t range =
            round % 2 == 0 ? std::min<std::size_t>(changed.size(), 600) : changed.size();
        changed[random() % range] = static_cast<std::byte>(random());
      }
      if (round % 3 == 0) changed.resize(random() % changed.size());
      (void)decode_guarded(c, changed);
    }
  }
}

TEST(CodecHostile, ABaseThatDoesNotFitIsCorrupt) {
  for (HostileCase& c : hostile_cases(200)) {
    if (!find_codec(c.form)->needs_base()) continue;
    c.base.pop_back();
    EXPECT_EQ(decode_guarded(c, c.payload).error().code, ErrorCode::kCorrupt);
    std::vector<std::byte> plain(c.plain.size());
    const Status without = find_codec(c.form)->decode(c.element, c.payload, nullptr, plain);
    EXPECT_EQ(without.error().code, ErrorCode::kCorrupt);
  }
}

TEST(CodecHostile, ScalesThatCouldOverflowAreRefused) {
  HostileCase c = std::move(hostile_cases(200)[3]);
  ASSERT_EQ(c.form, Form::kDelta);
  const auto with_scale = [&](std::uint8_t repeats, float scale) {
    RawBytes changed = c.payload;
    changed[1] = static_cast<std::byte>(repeats);
    std::memcpy(changed.data() + 2, &scale, 4);
    const Status status = decode_guarded(c, changed);
    return status ? "" : status.error().message;
  };
  const std::string refused = "a chunk's payload is damaged: its prediction is out of range";
  EXPECT_EQ(with_scale(16, 0.5F), "");
  EXPECT_EQ(with_scale(17, 0.9F), refused);
  EXPECT_EQ(with_scale(16, 4.0F), refused);
  EXPECT_EQ(with_scale(1, -0.9F), refused);
  EXPECT_EQ(with_scale(1, 0.0F), refused);
  EXPECT_EQ(with_scale(1, 1e38F), refused);
}

}  // namespace
}  // namespace kilter::store
