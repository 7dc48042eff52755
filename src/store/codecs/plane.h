// A run of bytes with its own best coding: as it is, one value, coded symbols, or seven bits each.
// Source: spec/store-forms.md, Planes.
#pragma once

#include <span>
#include <vector>

#include "store/codecs/payload_io.h"

namespace kilter::store {

enum class PlaneMode : std::uint8_t { kRaw = 0, kConstant = 1, kCoded = 2, kSevens = 3 };

/// Appends `plane` in its smallest mode. A glance at a sample spares planes without structure the
/// counting.
void encode_plane(std::span<const std::uint8_t> plane, RawBytes& out);

/// Reads a plane in blocks, so that what is unpacked is used while it is in the nearest cache.
class PlaneDecoder {
 public:
  /// Takes the plane of `count` bytes from the payload. `scratch` (at least `count` bytes) must
  /// stay until the last block was read; modes that need it decode into it here. Errors: kCorrupt.
  static Result<PlaneDecoder> open(PayloadReader& in, std::size_t count,
                                   std::span<std::uint8_t> scratch);
  /// The next `count` bytes, a multiple of 8 but for the last block: in the plane's scratch memory,
  /// in the payload, or in `room` (at least `count` bytes). Errors: kCorrupt.
  Result<const std::uint8_t*> next(std::size_t count, std::span<std::uint8_t> room);

 private:
  Status open_sevens(PayloadReader& in);
  Status next_exception();

  std::size_t count_ = 0, at_ = 0;
  const std::uint8_t* whole_ = nullptr;   // raw, coded or constant
  const std::uint8_t* packed_ = nullptr;  // sevens
  std::uint8_t low_ = 0;
  PayloadReader exceptions_{Bytes()};
  std::uint32_t exceptions_left_ = 0;
  std::uint64_t exception_ = ~std::uint64_t{0};  // index of the next one
};

/// Reads a plane of `count` bytes. Where the payload has it as it is, the result points there and
/// `scratch` (at least `count` bytes) stays as it was. Errors: kCorrupt.
Result<const std::uint8_t*> decode_plane(PayloadReader& in, std::size_t count,
                                         std::span<std::uint8_t> scratch);

/// Bytes that a plane of `count` bytes will take, told from a sample of it.
std::uint64_t estimate_plane_bytes(std::span<const std::uint8_t> sample, std::size_t count);

}  // namespace kilter::store
