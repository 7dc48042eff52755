// Memory for one call, not cleared first.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <utility>

namespace kilter::store {

/// Blocks that a thread's last calls have given back: memory from the system is cleared page by
/// page before it is first used, which takes as long as some codecs do.
class ScratchPool {
 public:
  struct Block {
    std::unique_ptr<std::byte[]> bytes;
    std::size_t size_bytes = 0;
  };
  static ScratchPool& of_this_thread() {
    thread_local ScratchPool pool;
    return pool;
  }
  Block take(std::size_t bytes) {
    for (Block& block : blocks_) {
      if (block.size_bytes >= bytes && block.size_bytes / 2 <= bytes) {
        return std::exchange(block, {});
      }
    }
    return {std::make_unique_for_overwrite<std::byte[]>(bytes), bytes};
  }
  void give_back(Block block) {
    if (block.size_bytes < kSmallestBytes || block.size_bytes > kLargestBytes) return;
    blocks_[next_++ % blocks_.size()] = std::move(block);
  }

 private:
  // What the allocator keeps anyway; and what a thread may hold on to, three times.
  static constexpr std::size_t kSmallestBytes = 64 << 10, kLargestBytes = 4 << 20;
  std::array<Block, 3> blocks_;
  std::size_t next_ = 0;
};

template <typename T>
class Scratch {
 public:
  explicit Scratch(std::size_t count)
      : block_(ScratchPool::of_this_thread().take(count * sizeof(T))),
        items_(reinterpret_cast<T*>(block_.bytes.get())),
        count_(count) {
    static_assert(std::is_trivially_default_constructible_v<T>);
  }
  ~Scratch() {
    if (block_.bytes) ScratchPool::of_this_thread().give_back(std::move(block_));
  }
  Scratch(Scratch&& other) noexcept
      : block_(std::exchange(other.block_, {})), items_(other.items_), count_(other.count_) {}
  Scratch& operator=(Scratch&& other) noexcept {
    std::swap(block_, other.block_);
    std::swap(items_, other.items_);
    std::swap(count_, other.count_);
    return *this;
  }

  T* data() { return items_; }
  const T* data() const { return items_; }
  std::size_t size() const { return count_; }
  T& operator[](std::size_t i) { return items_[i]; }
  std::span<T> span() { return {items_, count_}; }
  std::span<const T> span() const { return {items_, count_}; }

 private:
  ScratchPool::Block block_;
  T* items_;
  std::size_t count_;
};

}  // namespace kilter::store
