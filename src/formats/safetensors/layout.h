// Constants of the safetensors format, shared by reader and writer.
//
//   u64 little-endian N · N bytes of JSON · data
//
// Source: the format's README and reference implementation (safetensors/src/tensor.rs).
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace kilter::safetensors {

inline constexpr std::uint64_t kLengthBytes = 8;               ///< of the leading N
inline constexpr std::uint64_t kHeaderBytesMax = 100'000'000;  ///< the reference refuses more
inline constexpr std::uint64_t kHeaderAlignBytes = 8;          ///< the writer pads with spaces
inline constexpr std::string_view kMetadataKey = "__metadata__";

/// Not in the format: no framework has more dimensions, and messages and memory stay small.
inline constexpr std::size_t kRankMax = 1024;

/// Dtypes in the reference's order; its writer puts the last of them first, so that every tensor
/// comes to lie aligned.
inline constexpr std::array<std::string_view, 22> kDtypeOrder = {
    "BOOL",    "F4",          "F6_E2M3",     "F6_E3M2", "U8",  "I8",  "F8_E5M2", "F8_E4M3",
    "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "I16",     "U16", "F16", "BF16",    "I32",
    "U32",     "F32",         "C64",         "F64",     "I64", "U64"};

}  // namespace kilter::safetensors
