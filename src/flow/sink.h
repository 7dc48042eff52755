// Where output goes: a sink says how its files are laid out, the engine fills them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "flow/plan.h"

namespace kilter {

enum class SegmentKind : std::uint8_t {
  kLiteral,  ///< `literal`
  kOutput,   ///< all bytes of plan.outputs[index]
  kZero,     ///< padding
  kLate,     ///< bytes known only when everything before is written (checksums); Sink::fill_late
};

/// Segments tile a file from 0 without gaps, in order.
struct Segment {
  SegmentKind kind = SegmentKind::kZero;
  std::uint64_t bytes = 0;
  std::string literal;
  std::size_t index = 0;  ///< of the output, or the late segment's own number
};

struct FileLayout {
  std::string name;  ///< relative to the output's folder
  std::vector<Segment> segments;
};

/// CRC-32 (IEEE, as in zip) of each output's bytes, by output index.
using OutputChecksums = std::vector<std::uint32_t>;

class Sink {
 public:
  virtual ~Sink() = default;
  /// Files in the order they are to be written and published (the main file last). Every output of
  /// the plan appears exactly once. Same plan, same layout.
  virtual Result<std::vector<FileLayout>> layout(const Plan& plan) = 0;
  /// True if fill_late() needs checksums.
  virtual bool wants_checksums() const { return false; }
  /// Fills late segment `index` of file `file`; `out` has the segment's size. Outputs that lie
  /// before it in the file have their checksum.
  virtual Status fill_late(std::size_t file, std::size_t index, const OutputChecksums& crc32,
                           std::span<std::byte> out) {
    (void)file, (void)index, (void)crc32, (void)out;
    return fail(ErrorCode::kInternal, "this sink has no late segments");
  }
};

}  // namespace kilter
