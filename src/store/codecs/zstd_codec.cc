#include <zstd.h>

#include "store/codecs/forms.h"
#include "store/codecs/payload_io.h"
#include "store/codecs/sample.h"

namespace kilter::store {
namespace {

constexpr int kSampleLevel = 1;
constexpr int kChunkLevel = 6;

/// Bytes of the frame, or 0 where it would need more than `room`.
std::size_t compress_into(Bytes plain, std::span<std::byte> room, int level) {
  const std::size_t bytes =
      ZSTD_compress(room.data(), room.size(), plain.data(), plain.size(), level);
  return ZSTD_isError(bytes) != 0 ? 0 : bytes;
}

class ZstdCodec final : public Codec {
 public:
  Form form() const override { return Form::kZstd; }
  bool needs_base() const override { return false; }
  bool suits(Element, Bytes plain, const CodecBase*) const override { return !plain.empty(); }

  std::uint64_t estimate_bytes(Element, Bytes plain, const CodecBase*) const override {
    const std::vector<std::byte> sample = take_sample(plain, 1);
    std::vector<std::byte> frame(sample.size());
    const std::size_t bytes = compress_into(sample, frame, kSampleLevel);
    if (bytes == 0) return plain.size();
    return std::uint64_t{bytes} * plain.size() / sample.size();
  }

  bool encode(Element, Bytes plain, const CodecBase*, RawBytes& payload) const override {
    payload.resize(plain.empty() ? 0 : plain.size() - 1);
    payload.resize(compress_into(plain, payload, kChunkLevel));
    return !payload.empty();
  }

  Status decode(Element, Bytes payload, const CodecBase*,
                std::span<std::byte> plain) const override {
    // One frame that says its size: else zstd would take several, or none.
    if (ZSTD_getFrameContentSize(payload.data(), payload.size()) != plain.size() ||
        ZSTD_findFrameCompressedSize(payload.data(), payload.size()) != payload.size()) {
      return corrupt("it is no zstd frame of the chunk's size");
    }
    const std::size_t bytes =
        ZSTD_decompress(plain.data(), plain.size(), payload.data(), payload.size());
    if (bytes != plain.size()) return corrupt("its zstd frame does not decode");
    return ok();
  }
};

}  // namespace

const Codec& zstd_codec() {
  static const ZstdCodec codec;
  return codec;
}

}  // namespace kilter::store
