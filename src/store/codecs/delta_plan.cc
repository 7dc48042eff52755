#include "store/codecs/delta_plan.h"

#include <bit>

#include "store/codecs/plane.h"
#include "store/codecs/rans.h"

namespace kilter::store {
namespace {

void put_bits(BitWriter& writer, std::uint64_t value, unsigned bits) {
  if (bits > 32) {  // more than the writer takes at once
    writer.put(value & 0xFFFFFFFF, 32);
    value >>= 32;
    bits -= 32;
  }
  writer.put(value, bits);
}

/// The scale of the differences in absolute terms: the mean of size class plus exponent over the
/// elements that differ, lowered where few do.
int level_of(const DeltaSegment& total, std::size_t count) {
  const std::uint64_t mean = (total.level_sum + total.changed / 2) / total.changed;
  const std::uint32_t rarity = log2_256ths(count) - log2_256ths(total.changed);
  return static_cast<int>(mean) - static_cast<int>((rarity + 128) / 256);
}

}  // namespace

/// The differences of a segment against one prediction.
struct MeasuredSegment {
  DeltaSegment total;
  std::array<std::uint8_t, kSegmentElements> symbols;
  std::array<std::uint64_t, kSegmentElements> low_bits;
};

DeltaPlan::DeltaPlan(Element element, Bytes plain, Bytes base, const Prediction& prediction)
    : run_(element, plain.size()),
      prediction_(prediction),
      segments_(run_.segments),
      symbols_(run_.elements),
      contexts_(run_.elements),
      bits_(run_.elements, static_cast<unsigned>(8 * run_.layout.element_bytes)) {
  for (std::size_t s = 0; s < segments_.size(); ++s) measure(s, plain, base);
  choose_levels(base);
  find_contexts(base);
}

void DeltaPlan::write(PayloadWriter& writer, RawBytes& payload) {
  writer.u8(prediction_.repeats);
  writer.u32(prediction_.repeats == 0 ? 0 : std::bit_cast<std::uint32_t>(prediction_.scale));
  writer.u16(static_cast<std::uint16_t>(level_base_));
  encode_plane(segment_bytes(), payload);
  encode_symbols(symbols_.span().first(coded_), contexts_.span().first(coded_), kDeltaContexts,
                 payload);
  writer.bytes(bits_.finish());
}

std::uint64_t DeltaPlan::estimated_bits() const {
  std::vector<SymbolCounts> counts(kDeltaContexts);
  for (std::size_t i = 0; i < coded_; ++i) ++counts[contexts_.data()[i]][symbols_.data()[i]];
  std::uint64_t bits = bits_.bits();
  for (const SymbolCounts& in_context : counts) bits += sampled_entropy_bits(in_context);
  return bits + segments_.size();
}

void DeltaPlan::measure(std::size_t segment, Bytes plain, Bytes base) {
  const std::byte* to = plain.data() + run_.first_byte(segment);
  const std::byte* from = base.data() + run_.first_byte(segment);
  MeasuredSegment same, scaled;
  same.total = delta_measure(run_.layout, to, from, from, run_.count(segment), same.symbols.data(),
                             same.low_bits.data());
  if (prediction_.repeats == 0 || same.total.changed == 0) return take(segment, same, false);
  std::array<std::byte, 4 * kSegmentElements> predicted;
  delta_scale(from, run_.count(segment), prediction_.scale, prediction_.repeats, predicted.data());
  scaled.total = delta_measure(run_.layout, to, predicted.data(), from, run_.count(segment),
                               scaled.symbols.data(), scaled.low_bits.data());
  const bool better = scaled.total.class_sum < same.total.class_sum;
  take(segment, better ? scaled : same, better);
}

void DeltaPlan::take(std::size_t segment, const MeasuredSegment& measured, bool scaled) {
  segments_[segment].scaled = scaled;
  if (measured.total.changed == 0) return;
  const std::size_t elements = run_.count(segment);
  segments_[segment].changed = true;
  segments_[segment].level = level_of(measured.total, elements);
  std::copy_n(measured.symbols.begin(), elements, symbols_.data() + coded_);
  coded_ += elements;
  if (!any_low_bits(measured.symbols.data(), elements)) return;
  for (std::size_t i = 0; i < elements; ++i) {
    put_bits(bits_, measured.low_bits[i], delta_extra_bits(measured.symbols[i]));
  }
}

void DeltaPlan::choose_levels(Bytes base) {
  const int shift = most_common_window(base);
  int low = 1 << 20, high = -(1 << 20);
  for (SegmentPlan& segment : segments_) {
    segment.level -= shift;
    if (!segment.changed) continue;
    low = std::min(low, segment.level);
    high = std::max(high, segment.level);
  }
  if (low > high) low = high = 0;
  level_base_ = std::max(low, high - kLevelsMax + 1);
  for (SegmentPlan& segment : segments_) segment.level = std::max(segment.level, level_base_);
}

int DeltaPlan::most_common_window(Bytes base) const {
  constexpr std::size_t kSegmentsLookedAt = 256;
  constexpr int kRange = 128;  // contexts counted from -64
  std::array<std::uint32_t, kRange> counts{};
  std::array<std::uint8_t, kSegmentElements> contexts;
  const std::size_t step = segments_.size() / kSegmentsLookedAt + 1;
  for (std::size_t s = 0; s < segments_.size(); s += step) {
    if (!segments_[s].changed) continue;
    for (int from = 0; from < kRange; from += 14) {
      const int level = segments_[s].level + kRange / 2 - from;
      delta_contexts(run_.layout, base.data() + run_.first_byte(s), run_.count(s), level + 1,
                     contexts.data());
      for (std::size_t i = 0; i < run_.count(s); ++i) {
        const int at = from + contexts[i] - 1;
        if (contexts[i] >= 1 && contexts[i] <= 14 && at < kRange) {
          ++counts[static_cast<std::size_t>(at)];
        }
      }
    }
  }
  // Of windows that hold equally many the middle one: strays on either side keep their distance.
  std::uint32_t inside = 0, most = 0;
  int first = 0, last = 0;
  for (int at = 0; at < kRange; ++at) {
    inside += counts[static_cast<std::size_t>(at)];
    if (at >= 16) inside -= counts[static_cast<std::size_t>(at - 16)];
    if (inside > most) first = at;
    if (inside >= most) last = at;
    most = std::max(most, inside);
  }
  return most == 0 ? 0 : (first + last) / 2 - 15 - kRange / 2;
}

void DeltaPlan::find_contexts(Bytes base) {
  std::size_t at = 0;
  for (std::size_t s = 0; s < segments_.size(); ++s) {
    if (!segments_[s].changed) continue;
    delta_contexts(run_.layout, base.data() + run_.first_byte(s), run_.count(s), segments_[s].level,
                   contexts_.data() + at);
    at += run_.count(s);
  }
}

std::vector<std::uint8_t> DeltaPlan::segment_bytes() const {
  std::vector<std::uint8_t> out;
  out.reserve(segments_.size());
  for (const SegmentPlan& segment : segments_) {
    const int level = segment.changed ? segment.level - level_base_ + 1 : 0;
    out.push_back(static_cast<std::uint8_t>(level << 1 | static_cast<int>(segment.scaled)));
  }
  return out;
}

}  // namespace kilter::store
