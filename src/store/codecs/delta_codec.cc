#include "store/codecs/delta_decoder.h"
#include "store/codecs/delta_plan.h"
#include "store/codecs/forms.h"
#include "store/codecs/sample.h"

namespace kilter::store {
namespace {

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
              RawBytes& payload) const override {
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
    return decode_delta(element, payload, base->plain, plain);
  }
};

}  // namespace

const Codec& delta_codec() {
  static const DeltaCodec codec;
  return codec;
}

}  // namespace kilter::store
