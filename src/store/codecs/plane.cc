#include "store/codecs/plane.h"

#include <algorithm>

#include "store/codecs/rans.h"

namespace kilter::store {
namespace {

// A plane is looked at in 16 places; saving less than one part in 64 is not worth the decoding.
constexpr std::size_t kPlaneSamples = 16;
constexpr std::size_t kPlaneSampleBytes = 256;
constexpr std::size_t kWorthOnePartIn = 64;

bool worth_coding(std::uint64_t bits, std::size_t count) {
  return bits / 8 + count / kWorthOnePartIn < count;
}

bool sample_is_random(std::span<const std::uint8_t> plane) {
  if (plane.size() < 4 * kPlaneSamples * kPlaneSampleBytes) return false;
  SymbolCounts counts{};
  const std::size_t stride = plane.size() / kPlaneSamples;
  for (std::size_t i = 0; i < kPlaneSamples; ++i) {
    count_symbols(plane.subspan(i * stride, kPlaneSampleBytes), counts);
  }
  return !worth_coding(sampled_entropy_bits(counts), kPlaneSamples * kPlaneSampleBytes);
}

bool is_constant(std::span<const std::uint8_t> plane) {
  return std::all_of(plane.begin(), plane.end(),
                     [&](std::uint8_t byte) { return byte == plane[0]; });
}

bool encode_coded(std::span<const std::uint8_t> plane, std::vector<std::byte>& out) {
  if (sample_is_random(plane)) return false;
  const std::size_t begin = out.size();
  PayloadWriter(out).u8(static_cast<std::uint8_t>(PlaneMode::kCoded));
  encode_symbols(plane, {}, 1, out);
  if (worth_coding((out.size() - begin) * 8, plane.size())) return true;
  out.resize(begin);
  return false;
}

}  // namespace

void encode_plane(std::span<const std::uint8_t> plane, std::vector<std::byte>& out) {
  PayloadWriter writer(out);
  if (!plane.empty() && is_constant(plane)) {
    writer.u8(static_cast<std::uint8_t>(PlaneMode::kConstant));
    return writer.u8(plane[0]);
  }
  if (encode_coded(plane, out)) return;
  writer.u8(static_cast<std::uint8_t>(PlaneMode::kRaw));
  writer.bytes(std::as_bytes(plane));
}

Result<const std::uint8_t*> decode_plane(PayloadReader& in, std::size_t count,
                                         std::span<std::uint8_t> scratch) {
  KILTER_ASSIGN(const std::uint8_t mode, in.u8());
  switch (static_cast<PlaneMode>(mode)) {
    case PlaneMode::kRaw: {
      KILTER_ASSIGN(const Bytes run, in.take(count));
      return reinterpret_cast<const std::uint8_t*>(run.data());
    }
    case PlaneMode::kConstant: {
      KILTER_ASSIGN(const std::uint8_t value, in.u8());
      std::fill_n(scratch.begin(), count, value);
      return scratch.data();
    }
    case PlaneMode::kCoded:
      KILTER_TRY(decode_symbols(in, {}, 1, scratch.first(count)));
      return scratch.data();
  }
  return corrupt("a plane's mode is " + std::to_string(mode));
}

std::uint64_t estimate_plane_bytes(std::span<const std::uint8_t> sample, std::size_t count) {
  if (sample.empty()) return count + 1;
  SymbolCounts counts{};
  count_symbols(sample, counts);
  const std::uint64_t bits = sampled_entropy_bits(counts);
  if (!worth_coding(bits, sample.size())) return count + 1;
  return 1 + (bits * count + 8 * sample.size() - 1) / (8 * sample.size());
}

}  // namespace kilter::store
