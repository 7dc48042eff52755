// Names of chunks: BLAKE3 of their plain bytes.
#pragma once

#include <cstring>
#include <optional>
#include <string_view>

#include "base/hash.h"

namespace kilter::store {

using Digest = Digest256;

/// The digest of 64 lower-case hexadecimal digits; nullopt for anything else.
std::optional<Digest> digest_from_hex(std::string_view text);

/// For hash tables: a digest's bytes are as good as random.
struct DigestHash {
  std::size_t operator()(const Digest& digest) const {
    std::size_t value = 0;
    std::memcpy(&value, digest.data(), sizeof value);
    return value;
  }
};

}  // namespace kilter::store
