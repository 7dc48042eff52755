// Opens torch's legacy stream: five pickles, then each storage's count and bytes.
// Source: torch/serialization.py, _legacy_load.
#pragma once

#include "kilter/checkpoint.h"

#include "io/file_system.h"

namespace kilter::torch {

inline constexpr std::int64_t kLegacyProtocol = 1001;
/// As pickles hold 0x1950a86a20f9469cfc6c: LONG1 of ten bytes.
inline constexpr std::string_view kLegacyMagicBytes =
    "\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
inline constexpr std::string_view kLegacyMagicDecimal = "119547037146038801333356";

/// Errors: kMalformed, kUnsupported, kLimitExceeded, kUnsafe, kIo with path, tensor, offset.
Result<CheckpointData> open_legacy(const io::ReadFile& file, const OpenOptions& options);

/// How many of the file's first bytes are its five pickles; less is known where one is broken.
struct LegacyExtent {
  std::uint64_t pickle_bytes = 0;
  bool whole = false;
};
Result<LegacyExtent> legacy_extent(const io::ReadFile& file, std::uint64_t bytes_max);

}  // namespace kilter::torch
