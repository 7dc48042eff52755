// A vector of bytes that are not cleared when it grows: for what is filled at once anyway.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace kilter {

/// From here on, memory of RawBytes begins where a direct write can begin.
inline constexpr std::size_t kRawAlignedFromBytes = 256 << 10, kRawAlignBytes = 4096;

/// `bytes` (at least kRawAlignedFromBytes) as RawBytes have them: aligned, and in huge pages where
/// the system has some, so that few pages are cleared one by one and pinned for a direct write.
void* take_large_memory(std::size_t bytes);
void give_large_memory(void* at, std::size_t bytes) noexcept;

/// An allocator that leaves memory as it is where std::allocator would write zeros.
template <typename T>
struct RawAllocator : std::allocator<T> {
  T* allocate(std::size_t count) {
    if (count < kRawAlignedFromBytes / sizeof(T)) return std::allocator<T>::allocate(count);
    if (count > std::allocator_traits<std::allocator<T>>::max_size(*this))
      throw std::bad_array_new_length();
    return static_cast<T*>(take_large_memory(count * sizeof(T)));
  }
  void deallocate(T* at, std::size_t count) noexcept {
    if (count < kRawAlignedFromBytes / sizeof(T))
      std::allocator<T>::deallocate(at, count);
    else
      give_large_memory(at, count * sizeof(T));
  }

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
