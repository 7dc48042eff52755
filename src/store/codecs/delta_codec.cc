#include <algorithm>
#include <array>
#include <bit>

#include "store/codecs/bit_stream.h"
#include "store/codecs/delta_prediction.h"
#include "store/codecs/element.h"
#include "store/codecs/forms.h"
#include "store/codecs/kernels/delta_kernel.h"
#include "store/codecs/plane.h"
#include "store/codecs/rans.h"
#include "store/codecs/sample.h"

namespace kilter::store {
namespace {

// A segment's byte: bit 0 says which prediction, the rest its level from the chunk's lowest;
// 0 there means that nothing differs.
constexpr int kLevelsMax = 127;

struct SegmentPlan {
  bool scaled = false;
  bool changed = false;
  int level = 0;
};

DeltaLayout layout_of(Element element) {
  return {element_bytes(element), is_float(element), mantissa_bits(element)};
}

void put_bits(BitWriter& writer, std::uint64_t value, unsigned bits) {
  if (bits > 32) {  // more than the writer takes at once
    writer.put(value & 0xFFFFFFFF, 32);
    value >>= 32;
    bits -= 32;
  }
  writer.put(value, bits);
}

std::uint64_t get_bits(BitReader& reader, unsigned bits) {
  if (bits <= 32) return reader.get(bits);
  const std::uint64_t low = reader.get(32);
  return low | reader.get(bits - 32) << 32;
}

/// Whether any of the symbols is followed by bits: in most segments of a slow change none is.
bool any_low_bits(const std::uint8_t* symbols, std::size_t count) {
  std::uint8_t most = 0;
  for (std::size_t i = 0; i < count; ++i) most = std::max(most, symbols[i]);
  return delta_extra_bits(most) > 0;
}

/// The differences of a segment against one prediction.
struct MeasuredSegment {
  DeltaSegment total;
  std::array<std::uint8_t, kSegmentElements> symbols;
  std::array<std::uint64_t, kSegmentElements> low_bits;
};

/// The scale of the differences in absolute terms: the mean of size class plus exponent over the
/// elements that differ, lowered where few do.
int level_of(const DeltaSegment& total, std::size_t count) {
  const std::uint64_t mean = (total.level_sum + total.changed / 2) / total.changed;
  const std::uint32_t rarity = log2_256ths(count) - log2_256ths(total.changed);
  return static_cast<int>(mean) - static_cast<int>((rarity + 128) / 256);
}

/// A chunk taken apart: what is written of it, before entropy coding.
class DeltaPlan {
 public:
  DeltaPlan(Element element, Bytes plain, Bytes base, const Prediction& prediction)
      : layout_(layout_of(element)),
        prediction_(prediction),
        elements_(plain.size() / layout_.element_bytes),
        segments_(count_segments(elements_)),
        symbols_(elements_),
        contexts_(elements_),
        bits_(elements_, static_cast<unsigned>(8 * layout_.element_bytes)) {
    for (std::size_t s = 0; s < segments_.size(); ++s) measure(s, plain, base);
    choose_levels(base);
    find_contexts(base);
  }

  void write(PayloadWriter& writer, std::vector<std::byte>& payload) {
    writer.u8(prediction_.repeats);
    writer.u32(prediction_.repeats == 0 ? 0 : std::bit_cast<std::uint32_t>(prediction_.scale));
    writer.u16(static_cast<std::uint16_t>(level_base_));
    encode_plane(segment_bytes(), payload);
    encode_symbols(symbols_.span().first(coded_), contexts_.span().first(coded_), kDeltaContexts,
                   payload);
    writer.bytes(bits_.finish());
  }

  std::uint64_t estimated_bits() const {
    std::vector<SymbolCounts> counts(kDeltaContexts);
    for (std::size_t i = 0; i < coded_; ++i) ++counts[contexts_.data()[i]][symbols_.data()[i]];
    std::uint64_t bits = bits_.bits();
    for (const SymbolCounts& in_context : counts) bits += sampled_entropy_bits(in_context);
    return bits + segments_.size();
  }

 private:
  std::size_t first_byte(std::size_t segment) const {
    return segment * kSegmentElements * layout_.element_bytes;
  }
  std::size_t count(std::size_t segment) const {
    return std::min(kSegmentElements, elements_ - segment * kSegmentElements);
  }

  void measure(std::size_t segment, Bytes plain, Bytes base) {
    const std::byte* to = plain.data() + first_byte(segment);
    const std::byte* from = base.data() + first_byte(segment);
    MeasuredSegment same, scaled;
    same.total = delta_measure(layout_, to, from, from, count(segment), same.symbols.data(),
                               same.low_bits.data());
    if (prediction_.repeats == 0 || same.total.changed == 0) return take(segment, same, false);
    std::array<std::byte, 4 * kSegmentElements> predicted;
    delta_scale(from, count(segment), prediction_.scale, prediction_.repeats, predicted.data());
    scaled.total = delta_measure(layout_, to, predicted.data(), from, count(segment),
                                 scaled.symbols.data(), scaled.low_bits.data());
    const bool better = scaled.total.class_sum < same.total.class_sum;
    take(segment, better ? scaled : same, better);
  }

  void take(std::size_t segment, const MeasuredSegment& measured, bool scaled) {
    segments_[segment].scaled = scaled;
    if (measured.total.changed == 0) return;
    const std::size_t elements = count(segment);
    segments_[segment].changed = true;
    segments_[segment].level = level_of(measured.total, elements);
    std::copy_n(measured.symbols.begin(), elements, symbols_.data() + coded_);
    coded_ += elements;
    if (!any_low_bits(measured.symbols.data(), elements)) return;
    for (std::size_t i = 0; i < elements; ++i) {
      put_bits(bits_, measured.low_bits[i], delta_extra_bits(measured.symbols[i]));
    }
  }

  /// Shifts all levels so that the sixteen contexts cover where most elements lie, and finds the
  /// lowest level.
  void choose_levels(Bytes base) {
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

  /// The least `level - exponent` of the sixteen that most elements of a few segments have.
  int most_common_window(Bytes base) const {
    constexpr std::size_t kSegmentsLookedAt = 256;
    constexpr int kRange = 128;  // contexts counted from -64
    std::array<std::uint32_t, kRange> counts{};
    std::array<std::uint8_t, kSegmentElements> contexts;
    const std::size_t step = segments_.size() / kSegmentsLookedAt + 1;
    for (std::size_t s = 0; s < segments_.size(); s += step) {
      if (!segments_[s].changed) continue;
      for (int from = 0; from < kRange; from += 14) {
        const int level = segments_[s].level + kRange / 2 - from;
        delta_contexts(layout_, base.data() + first_byte(s), count(s), level + 1, contexts.data());
        for (std::size_t i = 0; i < count(s); ++i) {
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

  void find_contexts(Bytes base) {
    std::size_t at = 0;
    for (std::size_t s = 0; s < segments_.size(); ++s) {
      if (!segments_[s].changed) continue;
      delta_contexts(layout_, base.data() + first_byte(s), count(s), segments_[s].level,
                     contexts_.data() + at);
      at += count(s);
    }
  }

  std::vector<std::uint8_t> segment_bytes() const {
    std::vector<std::uint8_t> out;
    out.reserve(segments_.size());
    for (const SegmentPlan& segment : segments_) {
      const int level = segment.changed ? segment.level - level_base_ + 1 : 0;
      out.push_back(static_cast<std::uint8_t>(level << 1 | static_cast<int>(segment.scaled)));
    }
    return out;
  }

  DeltaLayout layout_;
  Prediction prediction_;
  std::size_t elements_;
  std::vector<SegmentPlan> segments_;
  Scratch<std::uint8_t> symbols_, contexts_;  // of changed segments, one behind the other
  BitWriter bits_;
  std::size_t coded_ = 0;
  int level_base_ = 0;
};

/// A payload being put back together.
class DeltaDecoder {
 public:
  DeltaDecoder(Element element, Bytes base, std::span<std::byte> plain)
      : layout_(layout_of(element)),
        base_(base),
        plain_(plain),
        elements_(plain.size() / layout_.element_bytes),
        segment_memory_(count_segments(elements_)),
        symbols_(elements_),
        contexts_(elements_) {}

  Status run(Bytes payload) {
    PayloadReader in(payload);
    KILTER_TRY(in.layout());
    KILTER_TRY(read_prediction(in));
    KILTER_ASSIGN(segments_, decode_plane(in, segment_memory_.size(), segment_memory_.span()));
    const std::size_t coded = find_contexts();
    KILTER_TRY(decode_symbols(in, contexts_.span().first(coded), kDeltaContexts,
                              symbols_.span().first(coded)));
    const std::size_t tail_bytes = plain_.size() % layout_.element_bytes;
    if (in.remaining() < tail_bytes) return corrupt("it ends early");
    KILTER_ASSIGN(const Bytes bits, in.take(in.remaining() - tail_bytes));
    KILTER_TRY(restore(bits));
    KILTER_ASSIGN(const Bytes tail, in.take(tail_bytes));
    std::copy(tail.begin(), tail.end(), plain_.end() - static_cast<std::ptrdiff_t>(tail_bytes));
    return ok();
  }

 private:
  std::size_t first_byte(std::size_t segment) const {
    return segment * kSegmentElements * layout_.element_bytes;
  }
  std::size_t count(std::size_t segment) const {
    return std::min(kSegmentElements, elements_ - segment * kSegmentElements);
  }

  Status read_prediction(PayloadReader& in) {
    KILTER_ASSIGN(prediction_.repeats, in.u8());
    KILTER_ASSIGN(const std::uint32_t scale, in.u32());
    KILTER_ASSIGN(const std::uint16_t level_base, in.u16());
    prediction_.scale = std::bit_cast<float>(scale);
    level_base_ = static_cast<std::int16_t>(level_base);
    const bool fits = prediction_.repeats == 0 || layout_.element_bytes == 4;
    return fits && is_sound(prediction_) ? ok() : corrupt("its prediction is out of range");
  }

  std::size_t find_contexts() {
    std::size_t at = 0;
    for (std::size_t s = 0; s < segment_memory_.size(); ++s) {
      const int level = segments_[s] >> 1;
      if (level == 0) continue;
      delta_contexts(layout_, base_.data() + first_byte(s), count(s), level_base_ + level - 1,
                     contexts_.data() + at);
      at += count(s);
    }
    return at;
  }

  Status restore(Bytes bits) {
    BitReader reader(bits);
    const std::uint8_t* symbols = symbols_.data();
    std::array<std::byte, 4 * kSegmentElements> predicted;
    for (std::size_t s = 0; s < segment_memory_.size(); ++s) {
      const std::byte* from = base_.data() + first_byte(s);
      if ((segments_[s] & 1) != 0 && prediction_.repeats > 0) {
        delta_scale(from, count(s), prediction_.scale, prediction_.repeats, predicted.data());
        from = predicted.data();
      }
      std::byte* const to = plain_.data() + first_byte(s);
      if (segments_[s] >> 1 == 0) {
        std::memcpy(to, from, count(s) * layout_.element_bytes);
        continue;
      }
      delta_restore(layout_, from, symbols, read_low_bits(reader, symbols, count(s)), count(s), to);
      symbols += count(s);
    }
    if (reader.overrun() || !reader.used_all()) return corrupt("its bits are too few or too many");
    return ok();
  }

  const std::uint64_t* read_low_bits(BitReader& reader, const std::uint8_t* symbols,
                                     std::size_t elements) {
    static constexpr std::array<std::uint64_t, kSegmentElements> kNone{};
    if (!any_low_bits(symbols, elements)) return kNone.data();
    for (std::size_t i = 0; i < elements; ++i) {
      low_bits_[i] = get_bits(reader, delta_extra_bits(symbols[i]));
    }
    return low_bits_.data();
  }

  DeltaLayout layout_;
  Bytes base_;
  std::span<std::byte> plain_;
  std::size_t elements_;
  Scratch<std::uint8_t> segment_memory_;
  const std::uint8_t* segments_ = nullptr;
  Scratch<std::uint8_t> symbols_, contexts_;
  std::array<std::uint64_t, kSegmentElements> low_bits_;  // of the segment being restored
  Prediction prediction_;
  int level_base_ = 0;
};

class DeltaCodec final : public Codec {
 public:
  Form form() const override { return Form::kDelta; }
  bool needs_base() const override { return true; }
  bool suits(Element element, Bytes plain, const CodecBase* base) const override {
    return base != nullptr && element != Element::kBytes && base->element == element &&
           base->plain.size() == plain.size() && plain.size() >= element_bytes(element);
  }

  std::uint64_t estimate_bytes(Element element, Bytes plain, const CodecBase* base) const override {
    const std::size_t width = element_bytes(element);
    const std::vector<std::byte> to = take_sample(plain, width);
    const std::vector<std::byte> from = take_sample(base->plain, width);
    const DeltaPlan plan(element, to, from, find_prediction(element, plain, base->plain));
    return 64 + plan.estimated_bits() * (plain.size() / width) / (8 * (to.size() / width));
  }

  bool encode(Element element, Bytes plain, const CodecBase* base,
              std::vector<std::byte>& payload) const override {
    const std::size_t whole = plain.size() - plain.size() % element_bytes(element);
    const Prediction prediction = find_prediction(element, plain, base->plain);
    DeltaPlan plan(element, plain, base->plain, prediction);
    payload.clear();
    PayloadWriter writer(payload);
    writer.u8(kPayloadLayout);
    plan.write(writer, payload);
    writer.bytes(plain.subspan(whole));
    return payload.size() < plain.size();
  }

  Status decode(Element element, Bytes payload, const CodecBase* base,
                std::span<std::byte> plain) const override {
    if (!suits(element, plain, base)) return corrupt("its base is none for a delta");
    return DeltaDecoder(element, base->plain, plain).run(payload);
  }
};

}  // namespace

const Codec& delta_codec() {
  static const DeltaCodec codec;
  return codec;
}

}  // namespace kilter::store
