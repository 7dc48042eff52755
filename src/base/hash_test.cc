#include "base/hash.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace kilter {
namespace {

// Vectors: FIPS 180-4 examples; test_vectors.json of BLAKE3 (input bytes are i mod 251).
TEST(Hash, MakesTheStandardsSha256) {
  EXPECT_EQ(to_hex(sha256(as_bytes(""))),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(to_hex(sha256(as_bytes("abc"))),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Hash, MakesTheReferencesBlake3) {
  EXPECT_EQ(to_hex(blake3(as_bytes(""))),
            "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
  std::string input(1025, '\0');
  for (std::size_t i = 0; i < input.size(); ++i) input[i] = static_cast<char>(i % 251);
  EXPECT_EQ(to_hex(blake3(as_bytes(input))),
            "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444");
}

TEST(Hash, DoesNotDependOnHowTheBytesArrive) {
  std::string input(300'000, 'x');
  for (std::size_t i = 0; i < input.size(); ++i) input[i] = static_cast<char>(i * 31 % 253);
  Blake3 fast;
  Sha256 standard;
  std::size_t step = 1;
  for (std::size_t i = 0; i < input.size(); i += step, step = step * 3 % 70'001 + 1) {
    const Bytes piece = as_bytes(std::string_view(input).substr(i, step));
    fast.update(piece);
    standard.update(piece);
  }
  EXPECT_EQ(fast.finish(), blake3(as_bytes(input)));
  EXPECT_EQ(standard.finish(), sha256(as_bytes(input)));
}

TEST(Hash, GoesOnAfterBlake3WasAsked) {
  Blake3 hash;
  hash.update(as_bytes("ab"));
  EXPECT_EQ(hash.finish(), blake3(as_bytes("ab")));
  Blake3 moved = std::move(hash);
  moved.update(as_bytes("c"));
  EXPECT_EQ(moved.finish(), blake3(as_bytes("abc")));
}

TEST(Hash, WritesHexInLowerCase) {
  const std::vector<std::byte> bytes = {std::byte{0x00}, std::byte{0xab}, std::byte{0xff}};
  EXPECT_EQ(to_hex(bytes), "00abff");
}

}  // namespace
}  // namespace kilter
