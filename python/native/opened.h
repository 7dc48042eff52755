// A checkpoint as Python holds it.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "kilter/checkpoint.h"

#include "flow/load.h"
#include "flow/source.h"
#include "io/mapped_file.h"
#include "native/errors.h"

namespace kilter::python {

/// Bytes as numpy sees them: one-dimensional, writable, alive as long as any view of them.
using ByteArray = nb::ndarray<nb::numpy, std::uint8_t, nb::ndim<1>, nb::c_contig>;

/// `bytes` as an array that keeps `owner` alive. With the GIL.
ByteArray byte_array(std::span<const std::byte> bytes, std::shared_ptr<const void> owner);
/// Fresh memory as an array. Errors: kLimitExceeded.
struct FreshBytes {
  std::shared_ptr<std::byte[]> memory;
  std::size_t bytes = 0;
  std::span<std::byte> span() const { return {memory.get(), bytes}; }
};
Result<FreshBytes> fresh_bytes(std::uint64_t bytes);

/// A checkpoint, and the files of it that are mapped. Safe to use from several threads.
class Opened {
 public:
  explicit Opened(Checkpoint checkpoint) : checkpoint_(std::move(checkpoint)) {}

  const Checkpoint& checkpoint() const { return checkpoint_; }
  const CheckpointData& data() const { return checkpoint_.data(); }
  const TensorIndex& index() const { return checkpoint_.data().index; }

  /// A storage's bytes: of the file itself, mapped for writing in memory alone, where they lie
  /// there as they are; else read and decoded.
  struct Held {
    std::span<const std::byte> bytes;
    std::shared_ptr<const void> owner;
  };
  Result<Held> storage(std::size_t number, DType element) const;

 private:
  std::shared_ptr<const io::MappedFile> mapped(std::uint32_t file) const;

  Checkpoint checkpoint_;
  mutable std::mutex mutex_;
  mutable std::unordered_map<std::uint32_t, std::shared_ptr<const io::MappedFile>> maps_;
};

/// The state tree as Python's own values. `handlers` makes the rest: tensor(number),
/// object(name, arguments, **{"state", "extra"}) and global_(name).
nb::object state_to_python(const StateTree& tree, const nb::object& handlers);

}  // namespace kilter::python
