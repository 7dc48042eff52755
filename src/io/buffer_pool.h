// Aligned buffers of one size, reused, within a fixed budget.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "kilter/error.h"

namespace kilter::io {

inline constexpr std::size_t kDirectAlignBytes = 4096;

class BufferPool;

/// A buffer on loan; returns itself.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  ~Buffer();
  std::span<std::byte> span() const { return {data_, bytes_}; }
  explicit operator bool() const { return data_ != nullptr; }

 private:
  friend class BufferPool;
  BufferPool* pool_ = nullptr;
  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
};

/// Memory is mapped on first use and asked to be in huge pages (buffers of 2 MiB and more).
/// Addresses and sizes are multiples of kDirectAlignBytes: `buffer_bytes` is rounded up. Every
/// buffer must be back before the pool goes. Thread-safe.
class BufferPool {
 public:
  BufferPool(std::size_t buffer_bytes, std::size_t buffer_count_max);
  ~BufferPool();
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;
  std::size_t buffer_bytes() const;
  Result<Buffer> take();      ///< waits until one is free; kLimitExceeded if memory is refused
  Result<Buffer> try_take();  ///< an empty Buffer when none is free

 private:
  friend class Buffer;
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace kilter::io
