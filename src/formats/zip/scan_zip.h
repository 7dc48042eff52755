// Judges what an archive holds: pickles by content, archives inside archives, programs.
// Rules: spec/scan-rules.md, sections zip and archive.
#pragma once

#include <vector>

#include "kilter/finding.h"
#include "kilter/progress.h"

#include "formats/pickle/scan.h"
#include "io/file_system.h"

namespace kilter::zip {

struct ScanLimits {
  int depth_max = 8;                              ///< archives inside archives
  std::uint64_t member_bytes_max = 256ULL << 20;  ///< of one member that is looked through
  std::uint64_t total_bytes_max = 4ULL << 30;     ///< of all of them together
};

/// Scans a zip archive: its lies, and every member that looks like a pickle, an archive or a
/// program, whatever its name. `context.path` and `context.wrapping` say where the file was met.
/// Faults of content are findings; an error is I/O or cancellation.
Status scan_zip(const io::ReadFile& file, const pickle::ScanContext& context,
                std::vector<Finding>* findings, const RunContext& run = {},
                const ScanLimits& limits = {});

/// The same for a tar archive.
Status scan_tar(const io::ReadFile& file, const pickle::ScanContext& context,
                std::vector<Finding>* findings, const RunContext& run = {},
                const ScanLimits& limits = {});

}  // namespace kilter::zip
