// Bit fields one behind the other, lowest bit first. Source: spec/store-forms.md, Bits.
#pragma once

#include <bit>
#include <cstring>
#include <vector>

#include "base/byte_reader.h"
#include "store/codecs/scratch.h"

namespace kilter::store {

static_assert(std::endian::native == std::endian::little, "words are stored as they lie");

/// Writes fields into memory of a fixed size, which the caller made large enough.
class BitWriter {
 public:
  /// Room for `fields` fields of at most `bits_max` bits.
  BitWriter(std::size_t fields, unsigned bits_max)
      : room_(fields * bits_max / 8 + 2 * sizeof(std::uint64_t)), next_(room_.data()) {}

  /// `value` has no bits beyond `bits`, which is at most 57.
  void put(std::uint64_t value, unsigned bits) {
    held_ |= value << held_bits_;
    held_bits_ += bits;
    std::memcpy(next_, &held_, sizeof held_);
    next_ += held_bits_ / 8;
    held_ >>= held_bits_ / 8 * 8 % 64;
    held_bits_ %= 8;
  }
  std::uint64_t bits() const {
    return static_cast<std::uint64_t>(next_ - room_.data()) * 8 + held_bits_;
  }
  /// All bits, the last byte filled with zeros.
  Bytes finish() {
    return {room_.data(), static_cast<std::size_t>(next_ - room_.data()) + (held_bits_ > 0)};
  }

 private:
  Scratch<std::byte> room_;
  std::byte* next_;
  std::uint64_t held_ = 0;
  unsigned held_bits_ = 0;
};

/// Reads fields; zeros behind the end. overrun() tells afterwards whether it got there.
class BitReader {
 public:
  explicit BitReader(Bytes bytes) : bytes_(bytes) {}

  /// At most 57 bits.
  std::uint64_t get(unsigned bits) {
    const std::uint64_t word = load(position_ / 8) >> (position_ % 8);
    position_ += bits;
    return word & ((1ULL << bits) - 1);
  }
  bool overrun() const { return position_ > std::uint64_t{8} * bytes_.size(); }
  /// Whether all bytes were needed.
  bool used_all() const { return (position_ + 7) / 8 == bytes_.size(); }

 private:
  std::uint64_t load(std::uint64_t at) const {
    std::uint64_t word = 0;
    if (at + sizeof word <= bytes_.size()) [[likely]] {
      std::memcpy(&word, bytes_.data() + at, sizeof word);
    } else if (at < bytes_.size()) {
      std::memcpy(&word, bytes_.data() + at, bytes_.size() - at);
    }
    return word;
  }
  Bytes bytes_;
  std::uint64_t position_ = 0;
};

}  // namespace kilter::store
