// Where each byte of an output file comes from.
#pragma once

#include <cstdint>
#include <vector>

#include "flow/sink.h"

namespace kilter::flow {

/// A file's segments with the offset each begins at. Keeps a reference to the layout.
class FileMap {
 public:
  /// The segments' sizes were checked: their sum fits.
  explicit FileMap(const FileLayout& layout);

  const FileLayout& layout() const { return *layout_; }
  std::uint64_t bytes() const { return begins_.back(); }
  std::uint64_t begin_of(std::size_t segment) const { return begins_[segment]; }
  /// The first segment with bytes at or after `offset_bytes`; the count of segments at the end.
  std::size_t segment_at(std::uint64_t offset_bytes) const;

 private:
  const FileLayout* layout_;
  std::vector<std::uint64_t> begins_;  ///< one more than segments: the last is the file's size
};

/// The part of one segment inside a run of file bytes.
struct SegmentPart {
  std::size_t segment = 0;
  std::uint64_t segment_offset = 0;  ///< first byte, within the segment
  std::uint64_t run_offset = 0;      ///< first byte, within the run
  std::uint64_t bytes = 0;
};

/// All parts of [offset_bytes, offset_bytes + bytes), in order, none empty.
std::vector<SegmentPart> parts_of(const FileMap& map, std::uint64_t offset_bytes,
                                  std::uint64_t bytes);

}  // namespace kilter::flow
