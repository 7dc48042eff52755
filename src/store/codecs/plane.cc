#include "store/codecs/plane.h"

#include <algorithm>

#include "store/codecs/kernels/planes_kernel.h"
#include "store/codecs/rans.h"

namespace kilter::store {
namespace {

// A plane is looked at in 16 places; saving less than one part in 64 is not worth the decoding.
constexpr std::size_t kPlaneSamples = 16;
constexpr std::size_t kPlaneSampleBytes = 256;
constexpr std::size_t kWorthOnePartIn = 64;
// Bytes whose lowest bit differs from that of most, beyond which they are not listed.
constexpr std::size_t kExceptionsOnePartIn = 256;

/// What a sample says about a plane's bytes.
struct PlaneSample {
  std::size_t bytes = 0;
  std::uint64_t coded_bits = 0;  ///< of the sample
  bool sevens = false;           ///< whether its lowest bit hardly changes
};

PlaneSample judge(const SymbolCounts& counts) {
  PlaneSample out;
  std::size_t odd = 0;
  for (std::size_t s = 0; s < counts.size(); ++s) {
    out.bytes += counts[s];
    odd += s % 2 == 1 ? counts[s] : 0;
  }
  out.coded_bits = sampled_entropy_bits(counts);
  out.sevens = std::min(odd, out.bytes - odd) <= out.bytes / kExceptionsOnePartIn;
  return out;
}

PlaneSample look_at(std::span<const std::uint8_t> plane) {
  SymbolCounts counts{};
  if (plane.size() <= 4 * kPlaneSamples * kPlaneSampleBytes) {
    count_symbols(plane, counts);
    return judge(counts);
  }
  const std::size_t stride = plane.size() / kPlaneSamples;
  for (std::size_t i = 0; i < kPlaneSamples; ++i) {
    count_symbols(plane.subspan(i * stride, kPlaneSampleBytes), counts);
  }
  return judge(counts);
}

/// Whether entropy coding promises enough less than the bytes as they are, or seven bits of them.
bool worth_coding(std::uint64_t bits, std::size_t count, bool sevens) {
  return bits / 8 + count / kWorthOnePartIn < (sevens ? count / 8 * 7 : count);
}

bool is_constant(std::span<const std::uint8_t> plane) {
  return std::all_of(plane.begin(), plane.end(),
                     [&](std::uint8_t byte) { return byte == plane[0]; });
}

void write_mode(PlaneMode mode, RawBytes& out) {
  PayloadWriter(out).u8(static_cast<std::uint8_t>(mode));
}

bool encode_coded(std::span<const std::uint8_t> plane, bool sevens, RawBytes& out) {
  const std::size_t begin = out.size();
  write_mode(PlaneMode::kCoded, out);
  encode_symbols(plane, {}, 1, out);
  if (worth_coding((out.size() - begin) * 8, plane.size(), sevens)) return true;
  out.resize(begin);
  return false;
}

/// Bytes whose lowest bit is set: eight sums at a time, which 255 words cannot overflow.
std::size_t count_odd(std::span<const std::uint8_t> plane) {
  constexpr std::uint64_t kOnes = 0x0101010101010101;
  std::size_t odd = 0, i = 0;
  while (plane.size() - i >= 8) {
    const std::size_t words = std::min<std::size_t>((plane.size() - i) / 8, 255);
    std::uint64_t sums = 0;
    for (std::size_t w = 0; w < words; ++w, i += 8) {
      std::uint64_t word = 0;
      std::memcpy(&word, plane.data() + i, sizeof word);
      sums += word & kOnes;
    }
    for (; sums != 0; sums >>= 8) odd += sums & 0xFF;
  }
  for (; i < plane.size(); ++i) odd += plane[i] & 1U;
  return odd;
}

bool encode_sevens(std::span<const std::uint8_t> plane, RawBytes& out) {
  const std::size_t odd = count_odd(plane);
  const std::uint8_t low = odd > plane.size() / 2 ? 1 : 0;
  const std::size_t exceptions = low == 1 ? plane.size() - odd : odd;
  if (exceptions > plane.size() / kExceptionsOnePartIn) return false;

  write_mode(PlaneMode::kSevens, out);
  PayloadWriter writer(out);
  writer.u8(low);
  writer.u32(static_cast<std::uint32_t>(exceptions));
  std::size_t expected = 0, left = exceptions;
  for (std::size_t i = 0; left > 0; ++i) {
    if ((plane[i] & 1U) == low) continue;
    writer.varint(static_cast<std::uint32_t>(i - expected));
    expected = i + 1;
    --left;
  }
  const std::size_t at = out.size(), bytes = (7 * plane.size() + 7) / 8;
  out.resize(at + bytes + 16);
  pack_sevens(plane.data(), plane.size(), reinterpret_cast<std::uint8_t*>(out.data() + at));
  out.resize(at + bytes);
  return true;
}

}  // namespace

void encode_plane(std::span<const std::uint8_t> plane, RawBytes& out) {
  if (!plane.empty() && is_constant(plane)) {
    write_mode(PlaneMode::kConstant, out);
    return PayloadWriter(out).u8(plane[0]);
  }
  const PlaneSample sample = look_at(plane);
  if (worth_coding(sample.coded_bits, sample.bytes, sample.sevens) &&
      encode_coded(plane, sample.sevens, out)) {
    return;
  }
  if (sample.sevens && plane.size() >= 64 && encode_sevens(plane, out)) return;
  write_mode(PlaneMode::kRaw, out);
  PayloadWriter(out).bytes(std::as_bytes(plane));
}

Result<PlaneDecoder> PlaneDecoder::open(PayloadReader& in, std::size_t count,
                                        std::span<std::uint8_t> scratch) {
  PlaneDecoder out;
  out.count_ = count;
  KILTER_ASSIGN(const std::uint8_t mode, in.u8());
  switch (static_cast<PlaneMode>(mode)) {
    case PlaneMode::kRaw: {
      KILTER_ASSIGN(const Bytes run, in.take(count));
      out.whole_ = reinterpret_cast<const std::uint8_t*>(run.data());
      return out;
    }
    case PlaneMode::kConstant: {
      KILTER_ASSIGN(const std::uint8_t value, in.u8());
      std::fill_n(scratch.begin(), count, value);
      break;
    }
    case PlaneMode::kCoded:
      KILTER_TRY(decode_symbols(in, {}, 1, scratch.first(count)));
      break;
    case PlaneMode::kSevens:
      KILTER_TRY(out.open_sevens(in));
      return out;
    default:
      return corrupt("a plane's mode is " + std::to_string(mode));
  }
  out.whole_ = scratch.data();
  return out;
}

/// The exceptions are walked over once to find what lies behind them.
Status PlaneDecoder::open_sevens(PayloadReader& in) {
  KILTER_ASSIGN(low_, in.u8());
  KILTER_ASSIGN(exceptions_left_, in.u32());
  if (low_ > 1 || exceptions_left_ > count_) return corrupt("a plane of sevens is out of range");
  exceptions_ = in;
  for (std::uint32_t i = 0; i < exceptions_left_; ++i) KILTER_TRY(in.varint());
  KILTER_ASSIGN(const Bytes packed, in.take((7 * count_ + 7) / 8));
  packed_ = reinterpret_cast<const std::uint8_t*>(packed.data());
  return next_exception();
}

Status PlaneDecoder::next_exception() {
  const std::uint64_t behind = exception_ + 1;  // 0 before the first
  exception_ = ~std::uint64_t{0};
  if (exceptions_left_ == 0) return ok();
  KILTER_ASSIGN(const std::uint32_t gap, exceptions_.varint());
  --exceptions_left_;
  exception_ = behind + gap;
  return exception_ < count_ ? ok() : corrupt("an exception lies behind the end of its plane");
}

Result<const std::uint8_t*> PlaneDecoder::next(std::size_t count, std::span<std::uint8_t> room) {
  const std::size_t begin = at_;
  at_ += count;
  if (packed_ == nullptr) return whole_ + begin;
  unpack_sevens(packed_ + begin / 8 * 7, count, low_, room.data(), count_ - at_ >= 16);
  while (exception_ < at_) {
    room[exception_ - begin] ^= 1U;
    KILTER_TRY(next_exception());
  }
  return room.data();
}

Result<const std::uint8_t*> decode_plane(PayloadReader& in, std::size_t count,
                                         std::span<std::uint8_t> scratch) {
  KILTER_ASSIGN(PlaneDecoder plane, PlaneDecoder::open(in, count, scratch));
  return plane.next(count, scratch);
}

std::uint64_t estimate_plane_bytes(std::span<const std::uint8_t> sample, std::size_t count) {
  if (sample.empty()) return count + 1;
  SymbolCounts counts{};
  count_symbols(sample, counts);
  const PlaneSample judged = judge(counts);
  if (worth_coding(judged.coded_bits, judged.bytes, judged.sevens)) {
    return 1 + (judged.coded_bits * count + 8 * sample.size() - 1) / (8 * sample.size());
  }
  return judged.sevens ? 6 + (7 * count + 7) / 8 : count + 1;
}

}  // namespace kilter::store
