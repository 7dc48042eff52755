#include <algorithm>

#include "store/codecs/forms.h"
#include "store/codecs/payload_io.h"

namespace kilter::store {
namespace {

class RawCodec final : public Codec {
 public:
  Form form() const override { return Form::kRaw; }
  bool needs_base() const override { return false; }
  bool suits(Element, Bytes, const CodecBase*) const override { return true; }
  std::uint64_t estimate_bytes(Element, Bytes plain, const CodecBase*) const override {
    return plain.size();
  }
  bool encode(Element, Bytes, const CodecBase*, RawBytes& payload) const override {
    payload.clear();
    return false;  // never smaller than itself
  }
  Status decode(Element, Bytes payload, const CodecBase*,
                std::span<std::byte> plain) const override {
    if (payload.size() != plain.size()) return corrupt("it has not the bytes of its chunk");
    std::copy(payload.begin(), payload.end(), plain.begin());
    return ok();
  }
};

}  // namespace

const Codec& raw_codec() {
  static const RawCodec codec;
  return codec;
}

}  // namespace kilter::store
