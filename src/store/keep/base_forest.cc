#include "store/keep/base_forest.h"

#include <algorithm>
#include <numeric>

#include "store/format/base.h"

namespace kilter::store {

BaseForest::BaseForest(const std::vector<ChunkPlace>& places) {
  link(places);
  order_by_size(places);
  begins_.assign(places.size() + 1, 0);
  for (const Link& link : links_) ++begins_[link.base + 1];
  std::partial_sum(begins_.begin(), begins_.end(), begins_.begin());
  for (const Link& link : links_) below_.push_back(link.place);
  links_ = {};
}

std::span<const std::uint32_t> BaseForest::below(std::uint32_t place) const {
  return std::span(below_).subspan(begins_[place], begins_[place + 1] - begins_[place]);
}

/// Of several places of a base the one of least depth, as readers take it.
void BaseForest::link(const std::vector<ChunkPlace>& places) {
  std::vector<std::uint32_t> by_digest(places.size());
  std::iota(by_digest.begin(), by_digest.end(), 0U);
  const auto key = [&](std::uint32_t i) {
    return std::tie(places[i].record.digest, places[i].record.depth);
  };
  std::ranges::stable_sort(by_digest, {}, key);
  for (std::uint32_t i = 0; i < places.size(); ++i) {
    const ChunkRecord& record = places[i].record;
    auto base = by_digest.end();
    if (record.has_base())
      base = std::ranges::lower_bound(
          by_digest, record.base, {},
          [&](std::uint32_t other) -> const Digest& { return places[other].record.digest; });
    const auto is_it = [&](auto at) { return places[*at].record.digest == record.base; };
    while (base != by_digest.end() && is_it(base) && !suits_as_base(record, places[*base].record))
      ++base;
    if (base != by_digest.end() && is_it(base)) {
      links_.push_back({*base, i});
    } else {
      roots_.push_back(i);
    }
  }
}

void BaseForest::order_by_size(const std::vector<ChunkPlace>& places) {
  // A chunk's base has a smaller depth, so the deepest know first how much is below them.
  std::ranges::stable_sort(links_, std::ranges::greater(),
                           [&](const Link& link) { return places[link.place].record.depth; });
  std::vector<std::uint32_t> sizes(places.size(), 1);
  for (const Link& link : links_) sizes[link.base] += sizes[link.place];
  std::ranges::stable_sort(
      links_, {}, [&](const Link& link) { return std::pair(link.base, sizes[link.place]); });
}

}  // namespace kilter::store
