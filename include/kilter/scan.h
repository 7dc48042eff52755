// kilter scan: is it safe to load? Owned by the floor `ops`.
#pragma once

#include <string>
#include <vector>

#include "kilter/finding.h"
#include "kilter/progress.h"

namespace kilter {

namespace io {
class FileSystem;
}

enum class Verdict : std::uint8_t { kSafe, kUnknown, kMalformed, kSuspicious, kDangerous };
std::string_view verdict_name(Verdict verdict);

struct ScanFile {
  std::string path;
  std::string format;
  Verdict verdict = Verdict::kUnknown;
  std::vector<Finding> findings;
};
struct ScanReport {
  Verdict verdict = Verdict::kSafe;  ///< the worst; kUnknown when there was nothing to scan
  std::vector<ScanFile> files;
};
struct ScanOptions {
  unsigned thread_count = 0;
  io::FileSystem* files = nullptr;  ///< nullptr: the real one
  RunContext context;
};

/// Scans files and folders (recursively). One bad file never stops the rest: what cannot be read is
/// `unknown` with the reason. Only kCancelled is returned as an error.
Result<ScanReport> scan(const std::vector<std::string>& paths, const ScanOptions& options = {});

/// {"verdict", "files": [{"path", "format", "verdict", "findings": […]}]}; spec/cli-json.md.
std::string scan_json(const ScanReport& report);
/// SARIF 2.1.0.
std::string scan_sarif(const ScanReport& report);

}  // namespace kilter
