// Large memory of our own, in huge pages where the system has them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kilter/error.h"

namespace kilter::flow {

/// Anonymous zero pages, aligned to 2 MiB. Touching them is what costs: see populate().
class FreshMemory {
 public:
  FreshMemory() = default;
  FreshMemory(FreshMemory&& other) noexcept;
  FreshMemory& operator=(FreshMemory&& other) noexcept;
  ~FreshMemory();

  /// Errors: kLimitExceeded if the system refuses.
  static Result<FreshMemory> map(std::uint64_t bytes);
  std::span<std::byte> span() const { return {data_, bytes_}; }

 private:
  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
};

/// Makes the pages of `run` present, so that who fills them does not stop at each. Best effort.
void populate(std::span<std::byte> run);

/// Bytes that may be taken without pushing others out of memory; all there is where the system
/// does not say.
std::uint64_t available_memory_bytes();

}  // namespace kilter::flow
