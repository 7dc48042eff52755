// What a look at a file found out, good or bad. Owned by the floor `formats`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace kilter {

/// Ordered: worse is greater. kNote never changes a verdict.
enum class Severity : std::uint8_t { kNote, kUnknown, kMalformed, kSuspicious, kDangerous };

/// One observation with its evidence. Rule names are documented in spec/scan-rules.md.
struct Finding {
  std::string rule;  ///< stable, as in "pickle.dangerous-call", "zip.local-name-differs"
  Severity severity = Severity::kNote;
  std::string path;                           ///< file, or file!member
  std::string tensor;                         ///< the tensor it hits, if one
  std::optional<std::uint64_t> offset_bytes;  ///< in the innermost file or member of `path`
  std::string message;                        ///< one sentence for people
  std::string evidence;                       ///< the call as text, both values, the bytes
  std::string reachable;                      ///< why a loader gets there; empty if not a call
  std::vector<std::string>
      loaders;  ///< which loaders would run it: "torch.load(weights_only=False)"
};

}  // namespace kilter
