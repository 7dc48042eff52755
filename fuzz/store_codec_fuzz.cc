// Any bytes as a payload of any form, and any bytes as a chunk that must come back.
//
// Byte 0: form, byte 1: element, bytes 2 and 3: size of the base, bytes 4 and 5: size of the chunk.
// Then the base; the rest is the payload to decode, and the chunk to encode.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "store/codecs/codec.h"

namespace {

using namespace kilter;         // a program of one file
using namespace kilter::store;  // the same

void decode_anything(const Codec& codec, Element element, Bytes payload, const CodecBase& base,
                     std::size_t plain_bytes) {
  std::vector<std::byte> plain(plain_bytes);
  const Status status = codec.decode(element, payload, &base, plain);
  if (!status && status.error().code != ErrorCode::kCorrupt) std::abort();
}

void encode_anything(const Codec& codec, Element element, Bytes plain, const CodecBase& base) {
  if (!codec.suits(element, plain, &base)) return;
  kilter::RawBytes payload;
  std::vector<std::byte> back(plain.size());
  (void)codec.estimate_bytes(element, plain, &base);
  if (!codec.encode(element, plain, &base, payload)) return;
  if (payload.size() >= plain.size()) std::abort();
  if (!codec.decode(element, payload, &base, back)) std::abort();
  if (std::memcmp(back.data(), plain.data(), plain.size()) != 0) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 6) return 0;
  const Codec* codec = find_codec(static_cast<Form>(data[0] % 5));
  const auto element = static_cast<Element>(data[1] % kElementCount);
  const std::size_t base_bytes = std::size_t{data[2]} | std::size_t{data[3]} << 8;
  const std::size_t plain_bytes = std::size_t{data[4]} | std::size_t{data[5]} << 8;
  const Bytes rest(reinterpret_cast<const std::byte*>(data) + 6, size - 6);
  const Bytes base_run = rest.first(std::min(base_bytes, rest.size()));
  const Bytes run = rest.subspan(base_run.size());
  const Element base_element = codec->form() == Form::kCast ? Element::kF32 : element;
  // Of the size the form asks for, whatever the input holds: else most inputs end at once.
  std::vector<std::byte> base(
      codec->form() == Form::kCast ? plain_bytes / element_bytes(element) * 4 : plain_bytes);
  if (!base_run.empty()) {
    for (std::size_t i = 0; i < base.size(); ++i) base[i] = base_run[i % base_run.size()];
  }
  decode_anything(*codec, element, run, {base_element, base}, plain_bytes);
  base.resize(codec->form() == Form::kCast ? run.size() / element_bytes(element) * 4 : run.size());
  encode_anything(*codec, element, run, {base_element, base});
  return 0;
}
