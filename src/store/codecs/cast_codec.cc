#include <algorithm>
#include <array>

#include "store/codecs/element.h"
#include "store/codecs/forms.h"
#include "store/codecs/payload_io.h"
#include "store/codecs/sample.h"
#include "tensor/kernels/narrow_float.h"

namespace kilter::store {
namespace {

const NarrowFloat* narrow_of(Element element) {
  switch (element) {
    case Element::kBf16:
      return &kNarrowBf16;
    case Element::kF16:
      return &kNarrowF16;
    case Element::kF8E4M3:
      return &kNarrowF8E4M3;
    case Element::kF8E5M2:
      return &kNarrowF8E5M2;
    default:
      return nullptr;
  }
}

/// Calls f(index) for each element that is not its base rounded, in order, until it returns false.
template <typename F>
void for_exceptions(Element element, Bytes plain, Bytes base, F&& f) {
  const std::size_t width = element_bytes(element), elements = plain.size() / width;
  std::array<std::byte, 2 * kSegmentElements> rounded;
  for (std::size_t first = 0; first < elements; first += kSegmentElements) {
    const std::size_t count = std::min(kSegmentElements, elements - first);
    narrow_float32(*narrow_of(element), base.data() + 4 * first, count, rounded.data());
    const std::byte* found = plain.data() + first * width;
    if (std::memcmp(found, rounded.data(), count * width) == 0) continue;
    for (std::size_t i = 0; i < count; ++i) {
      if (std::memcmp(found + i * width, rounded.data() + i * width, width) == 0) continue;
      if (!f(first + i)) return;
    }
  }
}

class CastCodec final : public Codec {
 public:
  Form form() const override { return Form::kCast; }
  bool needs_base() const override { return true; }
  bool suits(Element element, Bytes plain, const CodecBase* base) const override {
    return base != nullptr && narrow_of(element) != nullptr && base->element == Element::kF32 &&
           !plain.empty() && plain.size() % element_bytes(element) == 0 &&
           base->plain.size() == plain.size() / element_bytes(element) * 4;
  }

  std::uint64_t estimate_bytes(Element element, Bytes plain, const CodecBase* base) const override {
    const std::size_t width = element_bytes(element);
    const std::vector<std::byte> sample = take_sample(plain, width);
    const std::vector<std::byte> wide = take_sample(base->plain, 4);
    std::uint64_t exceptions = 0;
    for_exceptions(element, sample, wide, [&](std::size_t) { return ++exceptions > 0; });
    return 5 + exceptions * (2 + width) * plain.size() / sample.size();
  }

  bool encode(Element element, Bytes plain, const CodecBase* base,
              RawBytes& payload) const override {
    const std::size_t width = element_bytes(element);
    RawBytes exceptions;
    PayloadWriter list(exceptions);
    std::uint32_t count = 0;
    std::size_t expected = 0;  // the index a gap of zero would mean
    for_exceptions(element, plain, base->plain, [&](std::size_t i) {
      list.varint(static_cast<std::uint32_t>(i - expected));
      list.bytes(plain.subspan(i * width, width));
      expected = i + 1;
      ++count;
      return exceptions.size() < plain.size();
    });
    payload.clear();
    PayloadWriter writer(payload);
    writer.u8(kPayloadLayout);
    writer.u32(count);
    writer.bytes(exceptions);
    return payload.size() < plain.size();
  }

  Status decode(Element element, Bytes payload, const CodecBase* base,
                std::span<std::byte> plain) const override {
    if (!suits(element, plain, base)) return corrupt("its base is none for a cast");
    const std::size_t width = element_bytes(element), elements = plain.size() / width;
    PayloadReader in(payload);
    KILTER_TRY(in.layout());
    KILTER_ASSIGN(const std::uint32_t exceptions, in.u32());
    narrow_float32(*narrow_of(element), base->plain.data(), elements, plain.data());
    std::uint64_t next = 0;
    for (std::uint32_t k = 0; k < exceptions; ++k, ++next) {
      KILTER_ASSIGN(const std::uint32_t gap, in.varint());
      next += gap;
      if (next >= elements) return corrupt("an exception lies behind the last element");
      KILTER_ASSIGN(const Bytes value, in.take(width));
      std::copy(value.begin(), value.end(),
                plain.begin() + static_cast<std::ptrdiff_t>(next * width));
    }
    return in.done();
  }
};

}  // namespace

const Codec& cast_codec() {
  static const CastCodec codec;
  return codec;
}

}  // namespace kilter::store
