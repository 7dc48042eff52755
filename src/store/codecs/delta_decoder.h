// A delta's payload, put back together.
#pragma once

#include "store/codecs/codec.h"

namespace kilter::store {

/// Fills `plain` from a payload and its base, which has the same element and size.
/// Errors: kCorrupt.
Status decode_delta(Element element, Bytes payload, Bytes base, std::span<std::byte> plain);

}  // namespace kilter::store
