// Containers that keep big graphs small: most nodes have no later additions, and nodes never move.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace kilter::pickle {

using NodeId = std::uint32_t;

/// A list that is empty in nearly every node: one pointer while it is. Reads like a vector.
class RareList {
 public:
  RareList() = default;
  RareList(RareList&&) noexcept = default;
  RareList& operator=(RareList&&) noexcept = default;
  RareList(const RareList& other)
      : items_(other.items_ ? std::make_unique<std::vector<NodeId>>(*other.items_) : nullptr) {}
  RareList& operator=(const RareList& other) {
    RareList copy(other);
    items_ = std::move(copy.items_);
    return *this;
  }
  ~RareList() = default;

  const std::vector<NodeId>& get() const {
    static const std::vector<NodeId> kEmpty;
    return items_ ? *items_ : kEmpty;
  }
  std::vector<NodeId>& edit() {
    if (!items_) items_ = std::make_unique<std::vector<NodeId>>();
    return *items_;
  }
  operator const std::vector<NodeId>&() const { return get(); }

  bool empty() const { return !items_ || items_->empty(); }
  std::size_t size() const { return items_ ? items_->size() : 0; }
  NodeId operator[](std::size_t i) const { return (*items_)[i]; }
  NodeId front() const { return items_->front(); }
  NodeId back() const { return items_->back(); }
  auto begin() const { return get().begin(); }
  auto end() const { return get().end(); }
  void push_back(NodeId id) { edit().push_back(id); }
  void clear() { items_.reset(); }

 private:
  std::unique_ptr<std::vector<NodeId>> items_;
};

/// Nodes by number, in chunks: growing moves none but the first few. Grows only.
template <typename T>
class ChunkedList {
 public:
  class Iterator {
   public:
    Iterator(const ChunkedList* list, std::size_t at) : list_(list), at_(at) {}
    const T& operator*() const { return (*list_)[at_]; }
    Iterator& operator++() {
      ++at_;
      return *this;
    }
    bool operator==(const Iterator& other) const { return at_ == other.at_; }

   private:
    const ChunkedList* list_;
    std::size_t at_;
  };

  T& emplace_back() {
    if (size_ % kChunk == 0) {
      chunks_.emplace_back();
      if (size_ > 0) chunks_.back().reserve(kChunk);
    }
    ++size_;
    return chunks_.back().emplace_back();
  }
  void push_back(T value) { emplace_back() = std::move(value); }
  void reserve(std::size_t count) { chunks_.reserve(count / kChunk + 1); }

  T& operator[](std::size_t i) { return chunks_[i / kChunk][i % kChunk]; }
  const T& operator[](std::size_t i) const { return chunks_[i / kChunk][i % kChunk]; }
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  Iterator begin() const { return {this, 0}; }
  Iterator end() const { return {this, size_}; }

 private:
  static constexpr std::size_t kChunk = 1024;
  std::vector<std::vector<T>> chunks_;
  std::size_t size_ = 0;
};

}  // namespace kilter::pickle
