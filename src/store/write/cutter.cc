#include "store/write/cutter.h"

#include <blake3.h>

#include <algorithm>
#include <cstring>

namespace kilter::store {
namespace {

constexpr std::uint64_t kCutMask = 0xffff'0000'0000'0000;
constexpr std::string_view kGearSeed = "kilter store gear table 1";

std::array<std::uint64_t, 256> make_gear_table() {
  std::array<std::byte, 2048> bytes{};
  blake3_hasher hasher;
  blake3_hasher_init(&hasher);
  blake3_hasher_update(&hasher, kGearSeed.data(), kGearSeed.size());
  blake3_hasher_finalize(&hasher, reinterpret_cast<std::uint8_t*>(bytes.data()), bytes.size());
  std::array<std::uint64_t, 256> table{};
  for (std::size_t i = 0; i < table.size(); ++i) table[i] = load_le<std::uint64_t>(bytes, 8 * i);
  return table;
}

}  // namespace

const std::array<std::uint64_t, 256>& gear_table() {
  static const auto table = make_gear_table();
  return table;
}

std::size_t Cutter::add(Bytes bytes) {
  const auto& table = gear_table();
  const std::size_t room = static_cast<std::size_t>(kCutBytesMax) - chunk_.size();
  const std::size_t count = std::min(bytes.size(), room);
  const std::size_t before = chunk_.size();
  std::size_t taken = 0;
  while (taken < count && !ready_) {
    hash_ = (hash_ << 1U) + table[static_cast<std::uint8_t>(bytes[taken])];
    ++taken;
    ready_ = (hash_ & kCutMask) == 0 && before + taken >= kCutBytesMin;
  }
  chunk_.insert(chunk_.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(taken));
  if (chunk_.size() == kCutBytesMax) ready_ = true;
  return taken;
}

std::vector<std::byte> Cutter::take() {
  hash_ = 0;
  ready_ = false;
  return std::exchange(chunk_, {});
}

}  // namespace kilter::store
