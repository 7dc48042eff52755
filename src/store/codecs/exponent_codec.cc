#include <algorithm>
#include <array>

#include "store/codecs/element.h"
#include "store/codecs/forms.h"
#include "store/codecs/kernels/planes_kernel.h"
#include "store/codecs/plane.h"
#include "store/codecs/sample.h"
#include "store/codecs/scratch.h"

namespace kilter::store {
namespace {

// Elements merged at a time: planes of eight bytes still fit into the nearest cache.
constexpr std::size_t kBlockElements = 2048;

using PlanePointers = std::array<std::uint8_t*, kPlanesMax>;

/// Floats of more than a byte are rotated to the left: their sign and the exponent bits that rarely
/// change come to lie in the lowest byte, and the highest holds the rest of the exponent with as
/// much mantissa as there is room for, whose distribution depends on the exponent.
BytePlanes planes_of(Element element) {
  constexpr std::uint8_t kRotations[kElementCount] = {0, 2, 1, 2, 5, 0, 0, 0, 0, 0};
  return {element_bytes(element), kRotations[static_cast<std::size_t>(element)]};
}

PlanePointers point_at_planes(std::uint8_t* memory, std::size_t planes, std::size_t each) {
  PlanePointers out{};
  for (std::size_t k = 0; k < planes; ++k) out[k] = memory + k * each;
  return out;
}

bool all_zero(Bytes bytes) {  // of at least one byte: the first is zero, and each is as the next
  constexpr std::size_t kGlance = sizeof(std::uint64_t);
  if (bytes.size() >= kGlance && load_le<std::uint64_t>(bytes, 0) != 0) return false;
  return bytes[0] == std::byte{0} &&
         std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
}

/// The segments of a run of elements and which of them are kept: those with anything but zeros.
class KeptSegments {
 public:
  KeptSegments(std::size_t elements, std::size_t width)
      : elements_(elements), width_(width), flags_((count_segments(elements) + 7) / 8) {}

  std::span<std::uint8_t> flags() { return flags_; }
  bool kept(std::size_t segment) const { return (flags_[segment / 8] >> (segment % 8) & 1) != 0; }
  void find(Bytes plain) {
    for (std::size_t s = 0; s < count_segments(elements_); ++s) {
      if (all_zero(plain.subspan(offset(s), bytes(s)))) continue;
      flags_[s / 8] = static_cast<std::uint8_t>(flags_[s / 8] | 1U << (s % 8));
    }
  }
  std::size_t offset(std::size_t segment) const { return segment * kSegmentElements * width_; }
  std::size_t bytes(std::size_t segment) const {
    return std::min(kSegmentElements, elements_ - segment * kSegmentElements) * width_;
  }
  std::size_t count() const { return count_segments(elements_); }
  std::size_t kept_elements() const {
    std::size_t total = 0;
    for (std::size_t s = 0; s < count(); ++s) total += kept(s) ? bytes(s) / width_ : 0;
    return total;
  }

 private:
  std::size_t elements_, width_;
  std::vector<std::uint8_t> flags_;
};

Bytes pack_kept(const KeptSegments& segments, Bytes plain, std::span<std::byte> room) {
  std::size_t at = 0;
  for (std::size_t s = 0; s < segments.count(); ++s) {
    if (!segments.kept(s)) continue;
    const Bytes run = plain.subspan(segments.offset(s), segments.bytes(s));
    std::copy(run.begin(), run.end(), room.begin() + static_cast<std::ptrdiff_t>(at));
    at += run.size();
  }
  return room.first(at);
}

void unpack_kept(const KeptSegments& segments, Bytes kept, std::span<std::byte> plain) {
  for (std::size_t s = 0; s < segments.count(); ++s) {
    const auto run = plain.subspan(segments.offset(s), segments.bytes(s));
    if (!segments.kept(s)) {
      std::fill(run.begin(), run.end(), std::byte{0});
      continue;
    }
    std::copy_n(kept.begin(), run.size(), run.begin());
    kept = kept.subspan(run.size());
  }
}

void encode_elements(const BytePlanes& layout, Bytes elements, RawBytes& payload) {
  const std::size_t count = elements.size() / layout.element_bytes;
  Scratch<std::uint8_t> memory(elements.size());
  const PlanePointers planes = point_at_planes(memory.data(), layout.element_bytes, count);
  split_planes(layout, elements.data(), count, planes.data());
  for (std::size_t k = 0; k < layout.element_bytes; ++k) encode_plane({planes[k], count}, payload);
}

Status decode_elements(const BytePlanes& layout, PayloadReader& in, std::size_t count,
                       std::byte* elements) {
  Scratch<std::uint8_t> memory(count * layout.element_bytes);
  std::array<PlaneDecoder, kPlanesMax> planes;
  for (std::size_t k = 0; k < layout.element_bytes; ++k) {
    KILTER_ASSIGN(planes[k],
                  PlaneDecoder::open(in, count, memory.span().subspan(k * count, count)));
  }
  std::array<std::array<std::uint8_t, kBlockElements>, kPlanesMax> rooms;
  std::array<const std::uint8_t*, kPlanesMax> block{};
  for (std::size_t at = 0; at < count; at += kBlockElements) {
    const std::size_t size = std::min(kBlockElements, count - at);
    for (std::size_t k = 0; k < layout.element_bytes; ++k) {
      KILTER_ASSIGN(block[k], planes[k].next(size, rooms[k]));
    }
    merge_planes(layout, block.data(), size, elements + at * layout.element_bytes);
  }
  return ok();
}

class ExponentCodec final : public Codec {
 public:
  Form form() const override { return Form::kExponent; }
  bool needs_base() const override { return false; }
  bool suits(Element element, Bytes plain, const CodecBase*) const override {
    return element != Element::kBytes && plain.size() >= element_bytes(element);
  }

  std::uint64_t estimate_bytes(Element element, Bytes plain, const CodecBase*) const override {
    const BytePlanes layout = planes_of(element);
    const std::vector<std::byte> sample = take_sample(plain, layout.element_bytes);
    const std::size_t count = sample.size() / layout.element_bytes;
    Scratch<std::uint8_t> memory(sample.size());
    const PlanePointers planes = point_at_planes(memory.data(), layout.element_bytes, count);
    split_planes(layout, sample.data(), count, planes.data());
    std::uint64_t bytes = 3 + plain.size() % layout.element_bytes;
    for (std::size_t k = 0; k < layout.element_bytes; ++k) {
      bytes += estimate_plane_bytes({planes[k], count}, plain.size() / layout.element_bytes);
    }
    return bytes;
  }

  bool encode(Element element, Bytes plain, const CodecBase*, RawBytes& payload) const override {
    const BytePlanes layout = planes_of(element);
    const std::size_t elements = plain.size() / layout.element_bytes;
    payload.clear();
    payload.reserve(plain.size() + 64);
    PayloadWriter writer(payload);
    writer.u8(kPayloadLayout);
    KeptSegments segments(elements, layout.element_bytes);
    segments.find(plain);
    encode_plane(segments.flags(), payload);
    const std::size_t kept = segments.kept_elements();
    if (kept == elements) {
      encode_elements(layout, plain.first(elements * layout.element_bytes), payload);
    } else {
      Scratch<std::byte> packed(kept * layout.element_bytes);
      encode_elements(layout, pack_kept(segments, plain, packed.span()), payload);
    }
    writer.bytes(plain.subspan(elements * layout.element_bytes));
    return payload.size() < plain.size();
  }

  Status decode(Element element, Bytes payload, const CodecBase*,
                std::span<std::byte> plain) const override {
    const BytePlanes layout = planes_of(element);
    const std::size_t elements = plain.size() / layout.element_bytes;
    PayloadReader in(payload);
    KILTER_TRY(in.layout());
    KeptSegments segments(elements, layout.element_bytes);
    const std::span<std::uint8_t> flags = segments.flags();
    KILTER_ASSIGN(const std::uint8_t* const read, decode_plane(in, flags.size(), flags));
    if (read != flags.data()) std::copy_n(read, flags.size(), flags.begin());
    const std::size_t kept = segments.kept_elements();
    if (kept == elements) {
      KILTER_TRY(decode_elements(layout, in, elements, plain.data()));
    } else {
      Scratch<std::byte> packed(kept * layout.element_bytes);
      KILTER_TRY(decode_elements(layout, in, kept, packed.data()));
      unpack_kept(segments, packed.span(), plain);
    }
    KILTER_ASSIGN(const Bytes tail, in.take(plain.size() % layout.element_bytes));
    std::copy(tail.begin(), tail.end(), plain.end() - static_cast<std::ptrdiff_t>(tail.size()));
    return in.done();
  }
};

}  // namespace

const Codec& exponent_codec() {
  static const ExponentCodec codec;
  return codec;
}

}  // namespace kilter::store
