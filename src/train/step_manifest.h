// kilter-step.json: what a step in a plain folder holds. Source: spec/training-state.md.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kilter/error.h"
#include "kilter/metadata.h"

#include "base/hash.h"

namespace kilter::train {

inline constexpr std::string_view kManifestName = "kilter-step.json";
/// Longest run; also what a reader holds of one.
inline constexpr std::uint64_t kRunBytesMax = 16ULL << 20;

/// Bytes of a file that follow each other, with their digest.
struct ManifestRun {
  std::uint64_t bytes = 0;
  Digest256 digest{};
};

struct ManifestFile {
  std::string path;
  std::vector<ManifestRun> runs;  ///< from the first byte to the last

  std::uint64_t bytes() const;
};

struct StepManifest {
  std::int64_t step = 0;
  Metadata metadata;
  std::vector<ManifestFile> files;
};

std::string manifest_text(const StepManifest& manifest);
/// Errors: kMalformed, kUnsupported (another version), kUnsafe (paths).
Result<StepManifest> parse_manifest(std::string_view text);

}  // namespace kilter::train
