// Tensors in blocks, each in the form that is smallest. Source: spec/delta.md, Blocks.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "kilter/tensor_index.h"

#include "store/codecs/codec.h"

namespace kilter::store {

inline constexpr std::uint64_t kDeltaBlockBytes = 1ULL << 20;
inline constexpr std::uint8_t kDeltaSame = 15;  ///< a form beside those of Form
inline constexpr unsigned kDeltaSizeBits = 28;

inline std::uint64_t delta_block_count(std::uint64_t bytes) {
  return bytes / kDeltaBlockBytes + (bytes % kDeltaBlockBytes != 0 ? 1 : 0);
}
/// Plain bytes of one block of a tensor with `bytes`.
inline std::uint64_t delta_block_bytes(std::uint64_t bytes, std::uint64_t block) {
  const std::uint64_t left = bytes - block * kDeltaBlockBytes;
  return left < kDeltaBlockBytes ? left : kDeltaBlockBytes;
}

/// Where a tensor's elements lie in the base's tensor of its name.
class BaseWindow {
 public:
  /// nullopt if no block of the one can lean on the other.
  static std::optional<BaseWindow> between(const TensorInfo& result, const TensorInfo& base);

  bool same_dtype() const { return same_dtype_; }
  Element element() const { return element_; }
  struct Range {
    std::uint64_t offset_bytes = 0, bytes = 0;
  };
  /// The base's bytes beside these of the result; nullopt where they are not all there.
  std::optional<Range> range(std::uint64_t offset_bytes, std::uint64_t bytes) const;

 private:
  bool same_dtype_ = true;
  Element element_ = Element::kBytes;  ///< of the base
  std::uint64_t factor_ = 1;           ///< base bytes for each byte of the result
  std::uint64_t base_bytes_ = 0;
};

/// One block's place in its payload.
struct DeltaBlock {
  std::uint8_t form = 0;
  std::uint32_t bytes = 0;
  std::uint64_t offset_bytes = 0;  ///< from the beginning of the directory
};

/// Reads the directory of a tensor with `plain_bytes`; `payload_bytes` is all that there is with
/// it, and `directory` 4 bytes for each block. Errors: kMalformed.
Result<std::vector<DeltaBlock>> read_delta_directory(Bytes directory, std::uint64_t plain_bytes,
                                                     std::uint64_t payload_bytes);

/// The form of a block. `window` is empty where there is none.
struct EncodedDeltaBlock {
  std::uint8_t form = 0;
  RawBytes payload;  ///< of form 0 empty: the plain bytes are the payload
};
EncodedDeltaBlock encode_delta_block(Element element, Bytes plain,
                                     const std::optional<BaseWindow>& between, Bytes window);

/// Whether a block of this form needs its window. Errors: kMalformed for a form that is none, or
/// that such a window cannot serve.
Result<bool> delta_form_needs_window(std::uint8_t form, const std::optional<BaseWindow>& between);

/// Fills `plain`. Errors: kCorrupt.
Status decode_delta_block(std::uint8_t form, Element element, Bytes payload,
                          const std::optional<BaseWindow>& between, Bytes window,
                          std::span<std::byte> plain);

}  // namespace kilter::store
