// The forms a chunk may be stored in, behind one interface. Source: spec/store-forms.md.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "kilter/error.h"

#include "base/byte_reader.h"
#include "base/raw_bytes.h"

namespace kilter::store {

/// Numbers are those of the pack's directory (spec/store.md).
enum class Form : std::uint8_t { kRaw = 0, kZstd = 1, kExponent = 2, kDelta = 3, kCast = 4 };

/// How a form looks at a chunk's bytes. Little-endian elements.
enum class Element : std::uint8_t {
  kBytes = 0,
  kBf16 = 1,
  kF16 = 2,
  kF32 = 3,
  kF64 = 4,
  kF8E4M3 = 5,
  kF8E5M2 = 6,
  kInt16 = 7,
  kInt32 = 8,
  kInt64 = 9,
};
inline constexpr std::uint8_t kElementCount = 10;

/// The largest chunk of data, in plain bytes: what a decoder may be asked to make.
inline constexpr std::uint64_t kChunkBytesMax = 16ULL << 20;

/// Bytes of one element.
std::size_t element_bytes(Element element);
std::string_view form_name(Form form);           ///< "exponent"
std::string_view element_name(Element element);  ///< "bf16"

/// Another chunk that a form may lean on, decoded.
struct CodecBase {
  Element element = Element::kBytes;
  Bytes plain;
};

/// One form. Objects are stateless and shared by all threads; scratch memory belongs to the call.
///
/// Lossless and deterministic: the same plain bytes, element and base give the same payload on
/// every machine and instruction set, and decode() gives the plain bytes back. (zstd's payloads
/// may differ between versions of its library; they decode to the same bytes.)
class Codec {
 public:
  virtual ~Codec() = default;
  virtual Form form() const = 0;
  virtual bool needs_base() const = 0;
  /// Whether the form can be tried on such a chunk at all; `base` is null where there is none.
  virtual bool suits(Element element, Bytes plain, const CodecBase* base) const = 0;
  /// Payload bytes to be expected, from a sample of a few KiB: a glance, not a pass.
  virtual std::uint64_t estimate_bytes(Element element, Bytes plain,
                                       const CodecBase* base) const = 0;
  /// Fills `payload` and returns true, or returns false where the payload would not be smaller
  /// than `plain`. Any plain size up to kChunkBytesMax, also no multiple of the element's.
  virtual bool encode(Element element, Bytes plain, const CodecBase* base,
                      RawBytes& payload) const = 0;
  /// Fills `plain` (its size is that of the chunk). The payload is hostile: every length is
  /// checked, nothing outside the spans is touched, time and memory are bounded by plain.size().
  /// Errors: kCorrupt.
  virtual Status decode(Element element, Bytes payload, const CodecBase* base,
                        std::span<std::byte> plain) const = 0;
};

/// The codec of a form; null for a number that is none.
const Codec* find_codec(Form form);
std::span<const Codec* const> all_codecs();

/// What encode_smallest() found.
struct EncodedChunk {
  Form form = Form::kRaw;
  std::optional<std::size_t> base;  ///< index in `bases` of what it leans on
  RawBytes payload;                 ///< empty for kRaw: the plain bytes are the payload
};

enum class Effort : std::uint8_t {
  kFast,   ///< forms without a base, by the estimates alone
  kSmall,  ///< whatever is smallest among all forms and bases whose estimates promise something
};

/// The smallest form of a chunk, never larger than raw. Deterministic.
EncodedChunk encode_smallest(Element element, Bytes plain, std::span<const CodecBase> bases,
                             Effort effort);

}  // namespace kilter::store
