#include "flow/tile_map.h"

#include <algorithm>

namespace kilter::flow {

FileMap::FileMap(const FileLayout& layout) : layout_(&layout) {
  begins_.reserve(layout.segments.size() + 1);
  std::uint64_t at = 0;
  for (const Segment& segment : layout.segments) {
    begins_.push_back(at);
    at += segment.bytes;
  }
  begins_.push_back(at);
}

std::size_t FileMap::segment_at(std::uint64_t offset_bytes) const {
  const auto after = std::upper_bound(begins_.begin(), begins_.end(), offset_bytes);
  return static_cast<std::size_t>(after - begins_.begin()) - 1;
}

std::vector<SegmentPart> parts_of(const FileMap& map, std::uint64_t offset_bytes,
                                  std::uint64_t bytes) {
  std::vector<SegmentPart> parts;
  const std::uint64_t end = std::min(offset_bytes + bytes, map.bytes());
  std::size_t segment = map.segment_at(offset_bytes);
  for (std::uint64_t at = offset_bytes; at < end; ++segment) {
    const std::uint64_t segment_end = map.begin_of(segment + 1);
    if (segment_end <= at) continue;  // empty segments
    const std::uint64_t take = std::min(segment_end, end) - at;
    parts.push_back({segment, at - map.begin_of(segment), at - offset_bytes, take});
    at += take;
  }
  return parts;
}

}  // namespace kilter::flow
