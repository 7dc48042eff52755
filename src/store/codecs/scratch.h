// Memory for one call, not cleared first.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

namespace kilter::store {

template <typename T>
class Scratch {
 public:
  explicit Scratch(std::size_t count)
      : items_(std::make_unique_for_overwrite<T[]>(count)), count_(count) {}

  T* data() { return items_.get(); }
  const T* data() const { return items_.get(); }
  std::size_t size() const { return count_; }
  T& operator[](std::size_t i) { return items_[i]; }
  std::span<T> span() { return {items_.get(), count_}; }
  std::span<const T> span() const { return {items_.get(), count_}; }

 private:
  std::unique_ptr<T[]> items_;
  std::size_t count_;
};

}  // namespace kilter::store
