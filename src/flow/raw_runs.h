// Parts of tensors that lie in files exactly as they are wanted, also across pieces.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <unordered_map>
#include <vector>

#include "flow/assembled_read.h"

namespace kilter::flow {

struct RawRun {
  std::uint32_t file = 0;
  std::uint64_t offset_bytes = 0;
  std::span<std::byte> out;
};

/// Thread-safe. `index` is validated and outlives it.
class RawRuns {
 public:
  explicit RawRuns(const TensorIndex& index) : index_(index) {}

  /// The runs that fill `out` with bytes [offset_bytes, …) of the tensor's contiguous form; none if
  /// any of it must be gathered, decoded or changed.
  std::vector<RawRun> find(std::size_t tensor, std::uint64_t offset_bytes,
                           std::span<std::byte> out);

 private:
  const AssembledReader& reader(std::uint32_t storage);

  const TensorIndex& index_;
  std::mutex mutex_;
  std::unordered_map<std::uint32_t, std::unique_ptr<AssembledReader>> readers_;
};

}  // namespace kilter::flow
