#include <algorithm>

#include "store/codecs/codec.h"

namespace kilter::store {
namespace {

// A form is promising where its estimate saves one part in 64. Estimates err by a few percent:
// one that is an eighth above the best payload so far will not beat it.
constexpr std::uint64_t kSavesOnePartIn = 64;
constexpr std::uint64_t kHopelessAboveOnePartIn = 8;

struct Candidate {
  const Codec* codec = nullptr;
  std::optional<std::size_t> base;
  std::uint64_t estimate = 0;
};

class Candidates {
 public:
  Candidates(Element element, Bytes plain) : element_(element), plain_(plain) {}

  void consider(const Codec& codec, std::span<const CodecBase> bases,
                std::optional<std::size_t> base) {
    const CodecBase* const with = base ? &bases[*base] : nullptr;
    if (codec.form() == Form::kRaw || !codec.suits(element_, plain_, with)) return;
    const std::uint64_t estimate = codec.estimate_bytes(element_, plain_, with);
    if (estimate + plain_.size() / kSavesOnePartIn >= plain_.size()) return;
    list_.push_back({&codec, base, estimate});
  }

  /// Smallest estimate first; equals in the order they were considered in.
  std::span<const Candidate> sorted() {
    std::stable_sort(list_.begin(), list_.end(), [](const Candidate& a, const Candidate& b) {
      return a.estimate < b.estimate;
    });
    return list_;
  }

 private:
  Element element_;
  Bytes plain_;
  std::vector<Candidate> list_;
};

bool hopeless(std::uint64_t estimate, std::uint64_t best) {
  return estimate > best + best / kHopelessAboveOnePartIn;
}

}  // namespace

EncodedChunk encode_smallest(Element element, Bytes plain, std::span<const CodecBase> bases,
                             Effort effort) {
  Candidates candidates(element, plain);
  for (const Codec* codec : all_codecs()) {
    if (!codec->needs_base()) {
      candidates.consider(*codec, bases, std::nullopt);
      continue;
    }
    for (std::size_t i = 0; i < bases.size() && effort == Effort::kSmall; ++i) {
      candidates.consider(*codec, bases, i);
    }
  }
  EncodedChunk best;
  std::uint64_t best_bytes = plain.size();
  RawBytes payload;
  for (const Candidate& candidate : candidates.sorted()) {
    if (hopeless(candidate.estimate, best_bytes)) break;
    const CodecBase* const with = candidate.base ? &bases[*candidate.base] : nullptr;
    if (candidate.codec->encode(element, plain, with, payload) && payload.size() < best_bytes) {
      best_bytes = payload.size();
      best = {candidate.codec->form(), candidate.base, std::move(payload)};
      payload = {};
    }
    if (effort == Effort::kFast && best.form != Form::kRaw) break;
  }
  return best;
}

}  // namespace kilter::store
