#include "store/codecs/delta_decoder.h"

#include <array>
#include <bit>

#include "store/codecs/delta_segments.h"
#include "store/codecs/plane.h"
#include "store/codecs/rans.h"

namespace kilter::store {
namespace {

std::uint64_t get_bits(BitReader& reader, unsigned bits) {
  if (bits <= 32) return reader.get(bits);
  const std::uint64_t low = reader.get(32);
  return low | reader.get(bits - 32) << 32;
}

class DeltaDecoder {
 public:
  DeltaDecoder(Element element, Bytes base, std::span<std::byte> plain)
      : run_(element, plain.size()),
        base_(base),
        plain_(plain),
        segment_memory_(run_.segments),
        symbols_(run_.elements),
        contexts_(run_.elements) {}

  Status decode(Bytes payload) {
    PayloadReader in(payload);
    KILTER_TRY(in.layout());
    KILTER_TRY(read_prediction(in));
    KILTER_ASSIGN(segments_, decode_plane(in, run_.segments, segment_memory_.span()));
    const std::size_t coded = find_contexts();
    KILTER_TRY(decode_symbols(in, contexts_.span().first(coded), kDeltaContexts,
                              symbols_.span().first(coded)));
    const std::size_t tail_bytes = plain_.size() % run_.layout.element_bytes;
    if (in.remaining() < tail_bytes) return corrupt("it ends early");
    KILTER_ASSIGN(const Bytes bits, in.take(in.remaining() - tail_bytes));
    KILTER_TRY(restore(bits));
    KILTER_ASSIGN(const Bytes tail, in.take(tail_bytes));
    std::copy(tail.begin(), tail.end(), plain_.end() - static_cast<std::ptrdiff_t>(tail_bytes));
    return ok();
  }

 private:
  Status read_prediction(PayloadReader& in) {
    KILTER_ASSIGN(prediction_.repeats, in.u8());
    KILTER_ASSIGN(const std::uint32_t scale, in.u32());
    KILTER_ASSIGN(const std::uint16_t level_base, in.u16());
    prediction_.scale = std::bit_cast<float>(scale);
    level_base_ = static_cast<std::int16_t>(level_base);
    const bool fits = prediction_.repeats == 0 || run_.layout.element_bytes == 4;
    return fits && is_sound(prediction_) ? ok() : corrupt("its prediction is out of range");
  }

  std::size_t find_contexts() {
    std::size_t at = 0;
    for (std::size_t s = 0; s < run_.segments; ++s) {
      const int level = segments_[s] >> 1;
      if (level == 0) continue;
      delta_contexts(run_.layout, base_.data() + run_.first_byte(s), run_.count(s),
                     level_base_ + level - 1, contexts_.data() + at);
      at += run_.count(s);
    }
    return at;
  }

  Status restore(Bytes bits) {
    BitReader reader(bits);
    const std::uint8_t* symbols = symbols_.data();
    std::array<std::byte, 4 * kSegmentElements> predicted;
    for (std::size_t s = 0; s < run_.segments; ++s) {
      const std::byte* from = base_.data() + run_.first_byte(s);
      if ((segments_[s] & 1) != 0 && prediction_.repeats > 0) {
        delta_scale(from, run_.count(s), prediction_.scale, prediction_.repeats, predicted.data());
        from = predicted.data();
      }
      std::byte* const to = plain_.data() + run_.first_byte(s);
      if (segments_[s] >> 1 == 0) {
        std::memcpy(to, from, run_.count(s) * run_.layout.element_bytes);
        continue;
      }
      delta_restore(run_.layout, from, symbols, read_low_bits(reader, symbols, run_.count(s)),
                    run_.count(s), to);
      symbols += run_.count(s);
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

  SegmentedRun run_;
  Bytes base_;
  std::span<std::byte> plain_;
  Scratch<std::uint8_t> segment_memory_;
  const std::uint8_t* segments_ = nullptr;
  Scratch<std::uint8_t> symbols_, contexts_;
  std::array<std::uint64_t, kSegmentElements> low_bits_;  // of the segment being restored
  Prediction prediction_;
  int level_base_ = 0;
};

}  // namespace

Status decode_delta(Element element, Bytes payload, Bytes base, std::span<std::byte> plain) {
  return DeltaDecoder(element, base, plain).decode(payload);
}

}  // namespace kilter::store
