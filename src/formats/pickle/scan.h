// Judges pickles: what the inert machine saw, against an allow-list.
#pragma once

#include <string>
#include <vector>

#include "kilter/finding.h"

#include "base/byte_reader.h"
#include "formats/pickle/machine.h"

namespace kilter::pickle {

/// Where the bytes were met; decides which loaders would run them.
enum class Wrapping : std::uint8_t { kBare, kTorchZip, kTorchLegacy, kTorchTar, kNumpy, kOther };

struct ScanContext {
  std::string path;  ///< file, or file!member
  Wrapping wrapping = Wrapping::kBare;
  Limits limits;
  int depth = 0;  ///< of pickles inside pickles
};

/// Scans every stream in `bytes` to the end, also past STOP and past faults, and appends findings.
/// `expected_stream_count` > 0: bytes after that many streams are data (legacy torch), not scanned.
/// Returns the offset just past the last stream consumed.
std::uint64_t scan_pickles(Bytes bytes, std::uint64_t file_offset_bytes, const ScanContext& context,
                           std::vector<Finding>* findings, int expected_stream_count = 0);

/// Judges an already run graph (loading and scanning see the same one).
void judge_graph(const Graph& graph, const ScanContext& context, std::vector<Finding>* findings);

}  // namespace kilter::pickle
