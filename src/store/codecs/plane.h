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

/// Reads a plane of `count` bytes. Where the payload has it as it is, the result points there and
/// `scratch` (at least `count` bytes) stays as it was. Errors: kCorrupt.
Result<const std::uint8_t*> decode_plane(PayloadReader& in, std::size_t count,
                                         std::span<std::uint8_t> scratch);

/// Bytes that a plane of `count` bytes will take, told from a sample of it.
std::uint64_t estimate_plane_bytes(std::span<const std::uint8_t> sample, std::size_t count);

}  // namespace kilter::store
