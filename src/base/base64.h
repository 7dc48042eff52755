// Base 64 (RFC 4648, section 4): bytes inside JSON.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/byte_reader.h"

namespace kilter {

/// With padding, without line breaks.
std::string base64_encode(Bytes bytes);

/// Strict: padding is required, nothing but the alphabet is accepted, unused bits are zero, so
/// each run of bytes has exactly one text. Errors: kMalformed with the offset in `text`.
Result<std::vector<std::byte>> base64_decode(std::string_view text);

}  // namespace kilter
