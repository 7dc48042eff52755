// Decoded chunks in memory, the last used ones.
#pragma once

#include <cstdint>
#include <list>
#include <unordered_map>
#include <utility>

#include "store/store.h"

namespace kilter::store {

/// Chunks that were decoded lately. For one thread at a time.
class ChunkCache {
 public:
  PlainChunk find(const Digest& digest) {
    const auto found = places_.find(digest);
    if (found == places_.end()) return nullptr;
    order_.splice(order_.begin(), order_, found->second);
    return found->second->second;
  }
  void add(const Digest& digest, const PlainChunk& chunk) {
    if (places_.contains(digest) || chunk->size() > bytes_max_) return;
    order_.emplace_front(digest, chunk);
    places_[digest] = order_.begin();
    bytes_ += chunk->size();
    while (bytes_ > bytes_max_) drop_oldest();
  }
  void set_bytes_max(std::uint64_t bytes) {
    bytes_max_ = bytes;
    while (bytes_ > bytes_max_) drop_oldest();
  }

 private:
  static constexpr std::uint64_t kBytesDefault = 64ULL << 20;
  using Order = std::list<std::pair<Digest, PlainChunk>>;
  void drop_oldest() {
    bytes_ -= order_.back().second->size();
    places_.erase(order_.back().first);
    order_.pop_back();
  }
  Order order_;
  std::unordered_map<Digest, Order::iterator, DigestHash> places_;
  std::uint64_t bytes_ = 0;
  std::uint64_t bytes_max_ = kBytesDefault;
};

}  // namespace kilter::store
