#include "store/codecs/kernels/count_kernel.h"

#include <algorithm>
#include <bit>
#include <cstring>

// Highway compiles this file once for each instruction set and chooses when the program runs.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "store/codecs/kernels/count_kernel.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace kilter::store::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

#undef KILTER_COUNT_VECTORS
#define KILTER_COUNT_VECTORS (HWY_TARGET != HWY_SCALAR && !HWY_HAVE_SCALABLE)

#if KILTER_COUNT_VECTORS
using CountTag = hn::ScalableTag<std::uint8_t>;
using CountVector = hn::Vec<CountTag>;

/// One more in the lanes that equal `kind`.
HWY_INLINE CountVector count_up(CountVector sums, CountVector symbols, CountVector kind) {
  const auto equal = hn::Eq(symbols, kind);
#if HWY_MAX_BYTES >= 64  // masks are no vectors: an addition under a mask
  return hn::IfThenElse(equal, hn::Add(sums, hn::Set(CountTag(), 1)), sums);
#else
  return hn::Sub(sums, hn::VecFromMask(CountTag(), equal));
#endif
}

HWY_INLINE std::uint32_t count_sum(CountVector sums) {
  const hn::Repartition<std::uint64_t, CountTag> d;
  return static_cast<std::uint32_t>(hn::GetLane(hn::SumOfLanes(d, hn::SumsOf8(sums))));
}

/// Eight neighbours in a run of at most 255 vectors, so that no lane overflows.
HWY_INLINE void count_eight(const std::uint8_t* symbols, std::size_t vectors, std::size_t first,
                            std::uint32_t* counts) {
  const CountTag d;
  const auto kind = [&](std::size_t i)
                        HWY_ATTR { return hn::Set(d, static_cast<std::uint8_t>(first + i)); };
  const CountVector k0 = kind(0), k1 = kind(1), k2 = kind(2), k3 = kind(3);
  const CountVector k4 = kind(4), k5 = kind(5), k6 = kind(6), k7 = kind(7);
  CountVector s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
  for (std::size_t v = 0; v < vectors; ++v, symbols += hn::Lanes(d)) {
    const CountVector run = hn::LoadU(d, symbols);
    s0 = count_up(s0, run, k0);
    s1 = count_up(s1, run, k1);
    s2 = count_up(s2, run, k2);
    s3 = count_up(s3, run, k3);
    s4 = count_up(s4, run, k4);
    s5 = count_up(s5, run, k5);
    s6 = count_up(s6, run, k6);
    s7 = count_up(s7, run, k7);
  }
  const CountVector sums[kCountGroup] = {s0, s1, s2, s3, s4, s5, s6, s7};
  for (std::size_t i = 0; i < kCountGroup; ++i) counts[first + i] += count_sum(sums[i]);
}

void count_outside(const std::uint8_t* symbols, std::size_t vectors, std::size_t first,
                   std::size_t kinds, std::uint32_t* counts) {
  const CountTag d;
  const std::size_t lanes = hn::Lanes(d);
  const auto low = hn::Set(d, static_cast<std::uint8_t>(first));
  const auto width = hn::Set(d, static_cast<std::uint8_t>(kinds));
  for (std::size_t v = 0; v < vectors; ++v, symbols += lanes) {
    const auto inside = hn::Lt(hn::Sub(hn::LoadU(d, symbols), low), width);
    if (hn::AllTrue(d, inside)) continue;
    std::uint8_t bits[HWY_MAX_BYTES / 8 + 8] = {};
    hn::StoreMaskBits(d, hn::Not(inside), bits);
    for (std::size_t at = 0; at < lanes; at += 64) {
      std::uint64_t word = 0;
      std::memcpy(&word, bits + at / 8, sizeof word);
      for (; word != 0; word &= word - 1) {
        ++counts[symbols[at + static_cast<std::size_t>(std::countr_zero(word))]];
      }
    }
  }
}
#endif

/// Whole vectors; returns how many symbols were counted.
std::size_t count_vectors(const std::uint8_t* symbols, std::size_t count, std::size_t first,
                          std::size_t kinds, std::uint32_t* counts) {
#if KILTER_COUNT_VECTORS
  constexpr std::size_t kBlockBytes = 8192;  // read once for each group, from the nearest cache
  const std::size_t lanes = hn::Lanes(CountTag());
  const std::size_t block = std::min<std::size_t>(kBlockBytes / lanes, 255);
  std::size_t done = 0;
  while (count - done >= lanes) {
    const std::size_t vectors = std::min(block, (count - done) / lanes);
    for (std::size_t k = 0; k < kinds; k += kCountGroup) {
      count_eight(symbols + done, vectors, first + k, counts);
    }
    count_outside(symbols + done, vectors, first, kinds, counts);
    done += vectors * lanes;
  }
  return done;
#else
  (void)symbols, (void)count, (void)first, (void)kinds, (void)counts;
  return 0;
#endif
}

}  // namespace kilter::store::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace kilter::store {
namespace {

HWY_EXPORT(count_vectors);

}  // namespace

void count_neighbours(std::span<const std::uint8_t> symbols, std::size_t first, std::size_t kinds,
                      std::array<std::uint32_t, 256>& counts) {
  const std::size_t done = HWY_DYNAMIC_DISPATCH(count_vectors)(symbols.data(), symbols.size(),
                                                               first, kinds, counts.data());
  count_reference(symbols.subspan(done), counts);
}

void count_reference(std::span<const std::uint8_t> symbols,
                     std::array<std::uint32_t, 256>& counts) {
  for (const std::uint8_t symbol : symbols) ++counts[symbol];
}

}  // namespace kilter::store
#endif  // HWY_ONCE
