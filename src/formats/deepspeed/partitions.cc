#include "formats/deepspeed/partitions.h"

#include <algorithm>

namespace kilter::deepspeed {

std::uint64_t Partitioned::share(std::uint64_t count) const {
  if (!every_rank) return count;
  const std::uint64_t ranks = vectors.size();
  return count / ranks + (count % ranks != 0 ? 1 : 0);
}

bool Partitioned::holds(const Place& place) const {
  if (vectors.empty()) return false;
  std::uint64_t left = place.count;
  for (const FlatVector& vector : vectors) {
    const std::uint64_t take = std::min(left, share(place.count));
    if (take != 0 && (place.offset > vector.count() || take > vector.count() - place.offset))
      return false;
    left -= take;
  }
  return true;
}

std::vector<FlatPart> Partitioned::cut(const Place& place) const {
  std::vector<FlatPart> out;
  std::uint64_t left = place.count;
  for (const FlatVector& vector : vectors) {
    const std::uint64_t take = std::min(left, share(place.count));
    if (take == 0) break;  // only padding from here on
    for (const FlatPart& part : vector.cut(place.offset, take)) out.push_back(part);
    left -= take;
  }
  return out;
}

}  // namespace kilter::deepspeed
