// What a member is, by its first bytes.
#pragma once

#include <string_view>

#include "base/byte_reader.h"

namespace kilter::zip {

enum class Content : std::uint8_t {
  kPlain,        ///< nothing that anybody runs or unpacks
  kPickle,       ///< begins as pickles of protocol 2 and later do
  kMaybePickle,  ///< begins with an opcode of protocol 0 or 1, as many other bytes do
  kLegacyTorch,  ///< begins as torch's old streams do: five pickles, then data
  kNumpy,        ///< .npy: a pickle inside if its dtype is object
  kZip,
  kTar,
  kPacked,   ///< gzip, bzip2, xz, zstd, 7z, rar: not looked into
  kProgram,  ///< ELF, PE, Mach-O, a script with #!, Python bytecode
};

/// Enough of a member for content_of().
inline constexpr std::uint64_t kContentHeadBytes = 1024;

/// Judges by content. `name` only decides between text and Python source.
Content content_of(Bytes head, std::string_view name);

/// "ELF program", "gzip file" … for people; empty for kPlain.
std::string_view content_title(Bytes head, std::string_view name);

/// True for a name that torch gives raw numbers: "archive/data/0". A pickle there must prove
/// itself.
bool is_storage_name(std::string_view name);

}  // namespace kilter::zip
