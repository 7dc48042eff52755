// Which place leans on which: for decoding each chunk once.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "store/store.h"

namespace kilter::store {

/// Places as trees: below each the ones that are decoded from its bytes.
class BaseForest {
 public:
  explicit BaseForest(const std::vector<ChunkPlace>& places);

  /// Places that lean on none of the others, in the order they were given.
  const std::vector<std::uint32_t>& roots() const { return roots_; }
  /// What leans on this place, the one with the most below it last: whoever walks the others first
  /// can drop the place's bytes before the long way down.
  std::span<const std::uint32_t> below(std::uint32_t place) const;

 private:
  void link(const std::vector<ChunkPlace>& places);
  void order_by_size(const std::vector<ChunkPlace>& places);

  std::vector<std::uint32_t> roots_;
  struct Link {
    std::uint32_t base = 0;
    std::uint32_t place = 0;
  };
  std::vector<Link> links_;            // by base
  std::vector<std::uint32_t> below_;   // the places of links_
  std::vector<std::uint32_t> begins_;  // of each place in below_, and one past the last
};

}  // namespace kilter::store
