#include "ops/merge/kernels/selection_lanes.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

// As merge_lanes.cc.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/merge/kernels/selection_lanes.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#ifndef KILTER_SELECTION_LANES_ONCE_
#define KILTER_SELECTION_LANES_ONCE_
namespace kilter::ops {

inline constexpr std::size_t kKeptSumLanes = 8;
inline constexpr std::uint32_t kMagnitudeBits = 0x7FFFFFFF;

}  // namespace kilter::ops
#endif

HWY_BEFORE_NAMESPACE();
namespace kilter::ops::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void narrow_delta_keys_lanes(const double* x, const double* base, std::size_t count,
                             std::uint32_t* keys) {
  for (std::size_t i = 0; i < count; ++i) {
    const float difference = static_cast<float>(x[i]) - static_cast<float>(base[i]);
    keys[i] = std::bit_cast<std::uint32_t>(difference) & kMagnitudeBits;
  }
}

void wide_delta_keys_lanes(const double* x, const double* base, std::size_t count,
                           std::uint32_t* keys) {
  for (std::size_t i = 0; i < count; ++i)
    keys[i] = std::bit_cast<std::uint32_t>(static_cast<float>(x[i] - base[i])) & kMagnitudeBits;
}

void magnitude_keys_lanes(const double* x, std::size_t count, std::uint32_t* keys) {
  for (std::size_t i = 0; i < count; ++i)
    keys[i] = std::bit_cast<std::uint32_t>(static_cast<float>(x[i])) & kMagnitudeBits;
}

/// Ties are taken up to `bottom_ties` and left out up to `top_ties`, counted from the first.
void keep_between_lanes(const std::uint32_t* keys, std::size_t count, std::uint32_t bottom,
                        std::uint32_t bottom_ties, std::uint32_t top, std::uint32_t top_ties,
                        double* x) {
  for (std::size_t i = 0; i < count; ++i) {
    const auto at = static_cast<std::uint32_t>(i);
    const bool above = (keys[i] > bottom) | ((keys[i] == bottom) & (at < bottom_ties));
    const bool beyond = (keys[i] > top) | ((keys[i] == top) & (at < top_ties));
    x[i] = x[i] * ((above & !beyond) ? 1.0 : 0.0);
  }
}

/// As keep_between_lanes(), of what is subtracted and judged on the way.
template <bool kWide>
HWY_INLINE void subtract_between_lanes(const double* base, std::size_t count, std::uint32_t bottom,
                                       std::uint32_t bottom_ties, std::uint32_t top,
                                       std::uint32_t top_ties, double* x) {
  for (std::size_t i = 0; i < count; ++i) {
    const auto at = static_cast<std::uint32_t>(i);
    const double difference = x[i] - base[i];
    const float narrow = static_cast<float>(x[i]) - static_cast<float>(base[i]);
    const float judged = kWide ? static_cast<float>(difference) : narrow;
    const std::uint32_t key = std::bit_cast<std::uint32_t>(judged) & kMagnitudeBits;
    const bool above = (key > bottom) | ((key == bottom) & (at < bottom_ties));
    const bool beyond = (key > top) | ((key == top) & (at < top_ties));
    x[i] = difference * ((above & !beyond) ? 1.0 : 0.0);
  }
}

void wide_subtract_between_lanes(const double* base, std::size_t count, std::uint32_t bottom,
                                 std::uint32_t bottom_ties, std::uint32_t top,
                                 std::uint32_t top_ties, double* x) {
  subtract_between_lanes<true>(base, count, bottom, bottom_ties, top, top_ties, x);
}

void narrow_subtract_between_lanes(const double* base, std::size_t count, std::uint32_t bottom,
                                   std::uint32_t bottom_ties, std::uint32_t top,
                                   std::uint32_t top_ties, double* x) {
  subtract_between_lanes<false>(base, count, bottom, bottom_ties, top, top_ties, x);
}

void subtract_up_to_lanes(const double* base, const std::uint32_t* random, std::uint32_t limit,
                          std::size_t count, double* x) {
  for (std::size_t i = 0; i < count; ++i)
    x[i] = (x[i] - base[i]) * (random[i] <= limit ? 1.0 : 0.0);
}

/// Sums of |x - base|, and of those with random <= limit, in eight lanes. `count` is a multiple of
/// them.
void kept_sums_lanes(const double* x, const double* base, const std::uint32_t* random,
                     std::uint32_t limit, std::size_t count, double* all_lanes,
                     double* kept_lanes) {
  const hn::CappedTag<double, kKeptSumLanes> tag;
  const hn::RebindToSigned<decltype(tag)> signed_tag;
  const hn::RebindToUnsigned<decltype(tag)> wide;
  const hn::Rebind<std::uint32_t, decltype(tag)> narrow;
  constexpr std::size_t kWidth = HWY_MIN(HWY_LANES(double), kKeptSumLanes);
  constexpr std::size_t kVectors = kKeptSumLanes / kWidth;
  const auto zero = hn::Zero(tag), one = hn::Set(tag, 1.0);
  const auto most = hn::Set(signed_tag, static_cast<std::int64_t>(limit));
  hn::Vec<decltype(tag)> all[kVectors], kept[kVectors];
  for (std::size_t v = 0; v < kVectors; ++v) all[v] = kept[v] = zero;
  for (std::size_t i = 0; i < count; i += kKeptSumLanes) {
    for (std::size_t v = 0; v < kVectors; ++v) {
      const std::size_t at = i + v * kWidth;
      const auto size = hn::Abs(hn::Sub(hn::LoadU(tag, x + at), hn::LoadU(tag, base + at)));
      const auto bits = hn::PromoteTo(wide, hn::LoadU(narrow, random + at));
      const auto drops = hn::RebindMask(tag, hn::Gt(hn::BitCast(signed_tag, bits), most));
      all[v] = hn::Add(all[v], size);
      kept[v] = hn::Add(kept[v], hn::Mul(size, hn::IfThenElse(drops, zero, one)));
    }
  }
  for (std::size_t v = 0; v < kVectors; ++v) {
    hn::StoreU(all[v], tag, all_lanes + v * kWidth);
    hn::StoreU(kept[v], tag, kept_lanes + v * kWidth);
  }
}

void keep_up_to_each_lanes(const std::uint32_t* random, const std::uint32_t* limits,
                           std::size_t count, double* x) {
  for (std::size_t i = 0; i < count; ++i) x[i] = x[i] * (random[i] <= limits[i] ? 1.0 : 0.0);
}

void divide_by_chance_lanes(const std::uint32_t* limits, std::size_t count, double* x) {
  for (std::size_t i = 0; i < count; ++i)
    x[i] = x[i] / ((static_cast<double>(limits[i]) + 1.0) * 0x1p-32);
}

std::size_t collect_lanes(const std::uint32_t* keys, std::size_t count, std::uint32_t low,
                          std::uint32_t high, std::uint64_t* above, std::uint32_t* offsets,
                          std::uint32_t* out_keys) {
  const hn::ScalableTag<std::int32_t> tag;  // keys have no highest bit
  const std::size_t lanes = hn::Lanes(tag);
  const auto bottom = hn::Set(tag, static_cast<std::int32_t>(low) - 1);
  const auto top = hn::Set(tag, static_cast<std::int32_t>(high));
  const auto* const signed_keys = reinterpret_cast<const std::int32_t*>(keys);
  auto* const signed_offsets = reinterpret_cast<std::int32_t*>(offsets);
  auto* const signed_out = reinterpret_cast<std::int32_t*>(out_keys);
  std::size_t found = 0, beyond = 0, i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto values = hn::LoadU(tag, signed_keys + i);
    const auto is_beyond = hn::Gt(values, top);
    beyond += hn::CountTrue(tag, is_beyond);
    const auto inside = hn::AndNot(is_beyond, hn::Gt(values, bottom));
    if (hn::AllFalse(tag, inside)) continue;
    hn::CompressStore(hn::Iota(tag, static_cast<std::int32_t>(i)), inside, tag,
                      signed_offsets + found);
    found += hn::CompressStore(values, inside, tag, signed_out + found);
  }
  for (; i < count; ++i) {
    beyond += keys[i] > high ? 1 : 0;
    if (keys[i] < low || keys[i] > high) continue;
    offsets[found] = static_cast<std::uint32_t>(i);
    out_keys[found++] = keys[i];
  }
  *above += beyond;
  return found;
}

}  // namespace kilter::ops::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace kilter::ops {
namespace {

HWY_EXPORT(narrow_delta_keys_lanes);
HWY_EXPORT(wide_delta_keys_lanes);
HWY_EXPORT(magnitude_keys_lanes);
HWY_EXPORT(keep_between_lanes);
HWY_EXPORT(wide_subtract_between_lanes);
HWY_EXPORT(narrow_subtract_between_lanes);
HWY_EXPORT(subtract_up_to_lanes);
HWY_EXPORT(kept_sums_lanes);
HWY_EXPORT(keep_up_to_each_lanes);
HWY_EXPORT(divide_by_chance_lanes);
HWY_EXPORT(collect_lanes);

double kept_lane_total(const double (&lanes)[kKeptSumLanes]) {
  double out = 0;
  for (const double lane : lanes) out += lane;
  return out;
}

/// How many of the `count` elements from `first` on lie before `end`.
std::uint32_t elements_before(std::uint64_t end, std::uint64_t first, std::size_t count) {
  return static_cast<std::uint32_t>(end <= first ? 0 : std::min<std::uint64_t>(end - first, count));
}

}  // namespace

void delta_keys(const double* x, const double* base, std::size_t count, bool wide,
                std::uint32_t* keys) {
  if (wide)
    HWY_DYNAMIC_DISPATCH(wide_delta_keys_lanes)(x, base, count, keys);
  else
    HWY_DYNAMIC_DISPATCH(narrow_delta_keys_lanes)(x, base, count, keys);
}

void magnitude_keys(const double* x, std::size_t count, std::uint32_t* keys) {
  HWY_DYNAMIC_DISPATCH(magnitude_keys_lanes)(x, count, keys);
}

void keep_between(const std::uint32_t* keys, std::uint64_t first, std::size_t count,
                  const RankCut& bottom, const RankCut& top, double* x) {
  HWY_DYNAMIC_DISPATCH(keep_between_lanes)
  (keys, count, bottom.key, elements_before(bottom.tie_end, first, count), top.key,
   elements_before(top.tie_end, first, count), x);
}

void subtract_between(const double* base, bool wide, std::uint64_t first, std::size_t count,
                      const RankCut& bottom, const RankCut& top, double* x) {
  const std::uint32_t bottom_ties = elements_before(bottom.tie_end, first, count);
  const std::uint32_t top_ties = elements_before(top.tie_end, first, count);
  if (wide) HWY_DYNAMIC_DISPATCH(wide_subtract_between_lanes)
  (base, count, bottom.key, bottom_ties, top.key, top_ties, x);
  else HWY_DYNAMIC_DISPATCH(narrow_subtract_between_lanes)(base, count, bottom.key, bottom_ties,
                                                           top.key, top_ties, x);
}

void subtract_up_to(const double* base, const std::uint32_t* random, std::uint32_t limit,
                    std::size_t count, double* x) {
  HWY_DYNAMIC_DISPATCH(subtract_up_to_lanes)(base, random, limit, count, x);
}

KeptSums kept_sums(const double* x, const double* base, const std::uint32_t* random,
                   std::uint32_t limit, std::size_t count) {
  double all[kKeptSumLanes] = {}, kept[kKeptSumLanes] = {};
  const std::size_t whole = count - count % kKeptSumLanes;
  HWY_DYNAMIC_DISPATCH(kept_sums_lanes)(x, base, random, limit, whole, all, kept);
  for (std::size_t i = whole; i < count; ++i) {
    const double size = std::fabs(x[i] - base[i]);
    all[i - whole] += size;
    kept[i - whole] += size * (random[i] <= limit ? 1.0 : 0.0);
  }
  return {kept_lane_total(all), kept_lane_total(kept)};
}

void keep_up_to_each(const std::uint32_t* random, const std::uint32_t* limits, std::size_t count,
                     double* x) {
  HWY_DYNAMIC_DISPATCH(keep_up_to_each_lanes)(random, limits, count, x);
}

void divide_by_chance(const std::uint32_t* limits, std::size_t count, double* x) {
  HWY_DYNAMIC_DISPATCH(divide_by_chance_lanes)(limits, count, x);
}

std::size_t collect_window(const std::uint32_t* keys, std::size_t count, std::uint32_t low,
                           std::uint32_t high, std::uint64_t* above, std::uint32_t* offsets,
                           std::uint32_t* out_keys) {
  return HWY_DYNAMIC_DISPATCH(collect_lanes)(keys, count, low, high, above, offsets, out_keys);
}

}  // namespace kilter::ops
#endif  // HWY_ONCE
