// A chunk taken apart into what its delta says, before entropy coding.
#pragma once

#include <array>
#include <vector>

#include "store/codecs/delta_segments.h"
#include "store/codecs/payload_io.h"

namespace kilter::store {

struct MeasuredSegment;

class DeltaPlan {
 public:
  /// `plain` and `base` have the same size; neither is kept.
  DeltaPlan(Element element, Bytes plain, Bytes base, const Prediction& prediction);

  /// Appends everything between the layout and the tail.
  void write(PayloadWriter& writer, RawBytes& payload);
  /// Bits that write() would need, were this a sample of a chunk.
  std::uint64_t estimated_bits() const;

 private:
  struct SegmentPlan {
    bool scaled = false;
    bool changed = false;
    int level = 0;
  };

  void measure(std::size_t segment, Bytes plain, Bytes base);
  void take(std::size_t segment, const MeasuredSegment& measured, bool scaled);
  /// Shifts all levels so that the sixteen contexts cover where most elements lie, and finds the
  /// lowest level.
  void choose_levels(Bytes base);
  /// The least `level - exponent` of the sixteen that most elements of a few segments have.
  int most_common_window(Bytes base) const;
  void find_contexts(Bytes base);
  std::vector<std::uint8_t> segment_bytes() const;

  SegmentedRun run_;
  Prediction prediction_;
  std::vector<SegmentPlan> segments_;
  Scratch<std::uint8_t> symbols_, contexts_;  // of changed segments, one behind the other
  BitWriter bits_;
  std::size_t coded_ = 0;
  int level_base_ = 0;
};

}  // namespace kilter::store
