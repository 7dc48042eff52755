// Vector paths against the references, bit for bit.
#include <gtest/gtest.h>
#include <hwy/highway.h>
#include <hwy/targets.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "store/codecs/kernels/count_kernel.h"
#include "store/codecs/kernels/planes_kernel.h"
#include "store/codecs/kernels/rans_kernel.h"
#include "store/codecs/rans.h"
#include "tensor/float_format.h"
#include "tensor/kernels/narrow_float.h"

namespace kilter::store {
namespace {

/// Runs `check` with each instruction set that the program was built for and this machine has.
template <typename F>
void on_every_target(F&& check) {
  for (std::int64_t left = hwy::SupportedTargets() & HWY_TARGETS; left != 0; left &= left - 1) {
    const std::int64_t target = left & -left;
    SCOPED_TRACE(hwy::TargetName(target));
    hwy::GetChosenTarget().Update(target);
    check();
    if (testing::Test::HasFatalFailure()) break;
  }
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

std::vector<std::uint8_t> skewed_symbols(std::size_t count, unsigned kinds, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::uint8_t> out(count);
  for (std::uint8_t& symbol : out) {
    symbol = static_cast<std::uint8_t>(std::min(random() % kinds, random() % kinds));
  }
  return out;
}

struct RansTables {
  std::vector<std::uint32_t> encode, decode;
  RansTables(const std::vector<std::uint8_t>& symbols, const std::vector<std::uint8_t>& contexts,
             std::size_t count)
      : encode(count * kEncodeEntries), decode(count * kDecodeEntries) {
    std::vector<SymbolCounts> counts(count);
    for (std::size_t i = 0; i < symbols.size(); ++i) ++counts[contexts[i]][symbols[i]];
    for (std::size_t c = 0; c < count; ++c) {
      const Frequencies frequencies = normalize(counts[c]);
      fill_encode_table(frequencies, encode.data() + c * kEncodeEntries);
      fill_decode_table(frequencies, decode.data() + c * kDecodeEntries);
    }
  }
};

/// Whole rounds of symbols there and back: the same words and states as the reference makes.
void expect_same_coding(const RansTables& tables, RansCoding coding,
                        const std::vector<std::uint8_t>& symbols) {
  const std::size_t rounds = symbols.size() / kRansLanes;
  coding.table = tables.encode.data();
  std::vector<std::uint32_t> states(kRansLanes, kRansLow), other = states;
  std::vector<std::uint16_t> words(symbols.size() + 16), other_words = words;
  auto* const end =
      rans_encode_reference(coding, symbols.size(), states.data(), symbols.data(), words.data());
  auto* const other_end =
      rans_encode_rounds(coding, rounds, other.data(), symbols.data(), other_words.data());
  ASSERT_EQ(states, other);
  ASSERT_EQ(end - words.data(), other_end - other_words.data());
  const auto count = static_cast<std::size_t>(end - words.data());
  ASSERT_TRUE(std::equal(words.data(), end, other_words.data()));

  std::vector<std::uint16_t> stream(words.rend() - static_cast<std::ptrdiff_t>(count),
                                    words.rend());
  stream.resize(count + kRansReadAheadBytes);
  const auto* next = reinterpret_cast<const std::byte*>(stream.data());
  coding.table = tables.decode.data();
  std::vector<std::uint8_t> found(symbols.size());
  ASSERT_EQ(rans_decode_rounds(coding, rounds, states.data(), next, next + 2 * stream.size(),
                               found.data()),
            rounds);
  ASSERT_EQ(found, symbols);
  ASSERT_EQ(next, reinterpret_cast<const std::byte*>(stream.data()) + 2 * count);
}

/// Any words and states, as damage makes them.
void expect_same_decoding(const RansCoding& coding) {
  constexpr std::size_t kMostRounds = 256;
  std::mt19937 random(4);
  std::vector<std::byte> words(6000);
  for (std::byte& byte : words) byte = static_cast<std::byte>(random());
  std::vector<std::uint32_t> states(kRansLanes), other;
  for (std::uint32_t& state : states) state = static_cast<std::uint32_t>(random());
  states[0] = 0;
  states[63] = ~0U;
  other = states;
  std::vector<std::uint8_t> found(kMostRounds * kRansLanes), expected = found;
  const std::byte* next = words.data();
  const std::size_t rounds = rans_decode_rounds(coding, kMostRounds, states.data(), next,
                                                words.data() + words.size(), found.data());
  const std::byte* const end =
      rans_decode_reference(coding, rounds * kRansLanes, other.data(), words.data(),
                            words.data() + words.size(), expected.data());
  EXPECT_GT(rounds, 0U);
  EXPECT_EQ(next, end);
  EXPECT_EQ(states, other);
  EXPECT_EQ(found, expected);
}

void check_every_alphabet_and_contexts() {
  for (const unsigned kinds : {1U, 2U, 3U, 17U, 256U}) {
    for (const std::size_t context_count : {1U, 3U, 16U}) {
      SCOPED_TRACE(testing::Message() << kinds << " kinds, " << context_count << " contexts");
      const auto symbols = skewed_symbols(40 * kRansLanes, kinds, kinds);
      const auto contexts = skewed_symbols(symbols.size(), static_cast<unsigned>(context_count), 9);
      const RansTables tables(symbols, contexts, context_count);
      expect_same_coding(tables, {nullptr, contexts.data(), kRansLanes}, symbols);
    }
  }
}
TEST(RansKernel, AgreesWithTheReferenceForEveryAlphabetAndContexts) {
  on_every_target(check_every_alphabet_and_contexts);
}

void check_any_words() {
  const auto symbols = skewed_symbols(4096, 30, 1);
  const RansTables tables(symbols, std::vector<std::uint8_t>(symbols.size()), 1);
  expect_same_decoding({tables.decode.data(), nullptr, kRansLanes});
}
TEST(RansKernel, DecodesAnyWordsAsTheReferenceDoes) { on_every_target(check_any_words); }

/// Symbols around `middle` as the exponents of weights are; one of `strays_one_in` is anything.
std::vector<std::uint8_t> neighbours(std::size_t count, unsigned middle, unsigned strays_one_in) {
  std::mt19937 random(middle + strays_one_in);
  std::normal_distribution<float> normal(static_cast<float>(middle), 4);
  std::vector<std::uint8_t> out(count);
  for (std::uint8_t& symbol : out) {
    const bool stray = random() % strays_one_in == 0;
    symbol = stray ? static_cast<std::uint8_t>(random())
                   : static_cast<std::uint8_t>(std::clamp(normal(random), 0.0F, 255.0F));
  }
  return out;
}

void check_every_window() {
  for (const unsigned middle : {0U, 20U, 121U, 250U}) {
    for (const unsigned first : {0U, 1U, 10U, 105U, 224U, 240U, 255U}) {
      SCOPED_TRACE(testing::Message() << "around " << middle << ", window from " << first);
      const auto symbols = neighbours(200 * kRansLanes, middle, 2000);
      const RansTables tables(symbols, std::vector<std::uint8_t>(symbols.size()), 1);
      expect_same_coding(
          tables, {nullptr, nullptr, kRansLanes, true, static_cast<std::uint8_t>(first)}, symbols);
    }
  }
}
TEST(RansKernel, AgreesWithTheReferenceInEveryWindow) { on_every_target(check_every_window); }

void check_any_words_in_a_window() {
  const auto symbols = neighbours(4096, 121, 300);
  const RansTables tables(symbols, std::vector<std::uint8_t>(symbols.size()), 1);
  expect_same_decoding({tables.decode.data(), nullptr, kRansLanes, true, 105});
}
TEST(RansKernel, DecodesAnyWordsInAWindowAsTheReferenceDoes) {
  on_every_target(check_any_words_in_a_window);
}

void check_agrees_with_the_reference_for_any_symbols() {
  for (const std::size_t count : {0U, 1U, 63U, 64U, 1000U, 8192U, 100000U}) {
    for (const unsigned strays_one_in : {1U, 10U, 1000U}) {
      const auto symbols = neighbours(count, 121, strays_one_in);
      SymbolCounts expected{};
      expected[3] = 7;  // what is there is added to
      const SymbolCounts before = expected;
      count_reference(symbols, expected);
      for (const std::size_t first : {0U, 105U, 248U}) {
        for (const std::size_t kinds : {8U, 24U, 32U}) {
          if (first + kinds > 256) continue;
          SymbolCounts found = before;
          count_neighbours(symbols, first, kinds, found);
          ASSERT_EQ(found, expected) << count << " from " << first << ", " << kinds;
        }
      }
      SymbolCounts found = before;
      count_symbols(symbols, found);
      ASSERT_EQ(found, expected) << count;
    }
  }
}
TEST(CountKernel, AgreesWithTheReferenceForAnySymbols) {
  on_every_target(check_agrees_with_the_reference_for_any_symbols);
}

void check_counts_a_run_of_one_symbol_that_would_overflow_bytes() {
  const std::vector<std::uint8_t> symbols(300000, 9);
  SymbolCounts found{};
  count_neighbours(symbols, 8, 8, found);
  EXPECT_EQ(found[9], 300000U);
}
TEST(CountKernel, CountsARunOfOneSymbolThatWouldOverflowBytes) {
  on_every_target(check_counts_a_run_of_one_symbol_that_would_overflow_bytes);
}

void check_agrees_with_the_reference_at_every_length() {
  std::mt19937 random(2);
  std::vector<std::byte> elements(8 * 400 + 1);
  for (std::byte& byte : elements) byte = static_cast<std::byte>(random());
  for (const std::size_t width : {1U, 2U, 4U, 8U}) {
    for (const unsigned rotation : {0U, 1U, 2U, 5U}) {
      for (std::size_t count = 0; count < 400; count += 1 + count / 7) {
        std::vector<std::uint8_t> a(width * count + 1), b = a;
        std::uint8_t *to_a[kPlanesMax] = {}, *to_b[kPlanesMax] = {};
        for (std::size_t k = 0; k < width; ++k) {
          to_a[k] = a.data() + k * count;
          to_b[k] = b.data() + k * count;
        }
        const BytePlanes layout{width, rotation};
        split_planes(layout, elements.data() + 1, count, to_a);
        split_planes_reference(layout, elements.data() + 1, count, to_b);
        ASSERT_EQ(a, b) << width << " " << rotation << " " << count;
        std::vector<std::byte> back(width * count + 1), other = back;
        merge_planes(layout, to_a, count, back.data());
        merge_planes_reference(layout, to_a, count, other.data());
        ASSERT_EQ(back, other);
        ASSERT_EQ(std::memcmp(back.data(), elements.data() + 1, width * count), 0);
      }
    }
  }
}
TEST(PlanesKernel, AgreesWithTheReferenceAtEveryLength) {
  on_every_target(check_agrees_with_the_reference_at_every_length);
}

void check_sevens_come_back_at_every_length() {
  std::mt19937 random(3);
  for (std::size_t count = 0; count < 1200; count += 1 + count / 9) {
    std::vector<std::uint8_t> plane(count), back(count), packed((7 * count + 7) / 8 + 16);
    for (std::uint8_t& byte : plane) byte = static_cast<std::uint8_t>(random() | 1);
    pack_sevens(plane.data(), count, packed.data());
    const std::vector<std::uint8_t> exact(packed.begin(), packed.end() - 16);
    unpack_sevens(exact.data(), count, 1, back.data());
    ASSERT_EQ(back, plane) << count;
    std::fill(back.begin(), back.end(), std::uint8_t{0});
    unpack_sevens(packed.data(), count, 1, back.data(), true);
    ASSERT_EQ(back, plane) << count;
  }
}
TEST(PlanesKernel, SevensComeBackAtEveryLength) {
  on_every_target(check_sevens_come_back_at_every_length);
}

/// The nearest pattern by search in the exact values: slow and sure.
std::uint32_t nearest(const FloatFormat& format, std::uint32_t infinity, float value) {
  const double magnitude = std::fabs(double{value});
  std::uint32_t best = 0;
  for (std::uint32_t p = 1; p < infinity; ++p) {
    const double low = magnitude - decode_float(format, best);
    const double high = decode_float(format, p) - magnitude;
    if (high < low || (high == low && p % 2 == 0)) best = p;
  }
  // Half a unit above the largest; a tie goes to the even of it and what would come next.
  const double top = decode_float(format, infinity - 1);
  const double edge = top + (top - decode_float(format, infinity - 2)) / 2;
  if (magnitude > edge || (magnitude == edge && infinity % 2 == 0)) best = infinity;
  return best | (std::signbit(value) ? 1U << (format.bits() - 1) : 0);
}

void check_rounds_to_the_nearest_value_of_each_format() {
  std::mt19937 random(6);
  for (const auto& [dtype, narrow] :
       {std::pair{DType::kF8E4M3FN, kNarrowF8E4M3}, std::pair{DType::kF8E5M2, kNarrowF8E5M2}}) {
    const FloatFormat& format = *float_format(dtype);
    for (int i = 0; i < 20000; ++i) {
      const auto exponent = static_cast<std::uint32_t>(100 + random() % 50);
      auto bits = static_cast<std::uint32_t>(random() & 0x807FFFFF) | exponent << 23;
      if (i % 3 == 0) bits &= 0xFFF80000;  // ties
      float value = 0;
      std::memcpy(&value, &bits, 4);
      ASSERT_EQ(narrow_float(narrow, bits), nearest(format, narrow.overflow, value)) << value;
    }
  }
}
TEST(CastKernel, RoundsToTheNearestValueOfEachFormat) {
  on_every_target(check_rounds_to_the_nearest_value_of_each_format);
}

void check_keeps_every_f16_and_bf16_and_knows_the_edges() {
  for (const auto& [dtype, narrow] :
       {std::pair{DType::kF16, kNarrowF16}, std::pair{DType::kBF16, kNarrowBf16}}) {
    for (std::uint32_t p = 0; p < 65536; ++p) {
      const double exact = decode_float(*float_format(dtype), p);
      if (std::isnan(exact)) continue;
      const auto value = static_cast<float>(exact);
      std::uint32_t bits = 0;
      std::memcpy(&bits, &value, 4);
      ASSERT_EQ(narrow_float(narrow, bits), p);
    }
  }
  EXPECT_EQ(narrow_float(kNarrowF16, 0x477FF000), 0x7C00U);  // 65520: half a unit above the top
  EXPECT_EQ(narrow_float(kNarrowF16, 0x477FEFFF), 0x7BFFU);
  EXPECT_EQ(narrow_float(kNarrowBf16, 0x7F7FFFFF), 0x7F80U);
  EXPECT_EQ(narrow_float(kNarrowBf16, 0xFF800001), 0xFFC0U);
  EXPECT_EQ(narrow_float(kNarrowF8E4M3, 0x7F800000), 0x7FU);
}
TEST(CastKernel, KeepsEveryF16AndBf16AndKnowsTheEdges) {
  on_every_target(check_keeps_every_f16_and_bf16_and_knows_the_edges);
}

void check_vectors_round_as_single_elements_do() {
  std::mt19937 random(8);
  std::vector<std::uint32_t> wide(1001);
  for (std::uint32_t& bits : wide) {
    bits = static_cast<std::uint32_t>(random());
    if (random() % 8 == 0) bits |= 0x7F800000;
  }
  std::vector<std::uint16_t> narrow(wide.size());
  narrow_float32(kNarrowBf16, reinterpret_cast<const std::byte*>(wide.data()), wide.size(),
                 reinterpret_cast<std::byte*>(narrow.data()));
  for (std::size_t i = 0; i < wide.size(); ++i) {
    ASSERT_EQ(narrow[i], narrow_float(kNarrowBf16, wide[i])) << wide[i];
  }
}
TEST(CastKernel, VectorsRoundAsSingleElementsDo) {
  on_every_target(check_vectors_round_as_single_elements_do);
}

}  // namespace
}  // namespace kilter::store
