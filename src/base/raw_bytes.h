// A vector of bytes that are not cleared when it grows: for what is filled at once anyway.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace kilter {

/// An allocator that leaves memory as it is where std::allocator would write zeros.
template <typename T>
struct RawAllocator : std::allocator<T> {
  template <typename U>
  struct rebind {
    using other = RawAllocator<U>;
  };
  template <typename U>
  void construct(U* at) noexcept {
    ::new (static_cast<void*>(at)) U;
  }
  template <typename U, typename... Arguments>
  void construct(U* at, Arguments&&... arguments) {
    std::construct_at(at, std::forward<Arguments>(arguments)...);
  }
};

/// After resize(), new bytes are indeterminate until written.
using RawBytes = std::vector<std::byte, RawAllocator<std::byte>>;

}  // namespace kilter
