// From a header and the place of its bytes to a tensor, an inert value or a note.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "kilter/checkpoint.h"

#include "formats/npy/npy_header.h"

namespace kilter::npy {

/// Where the array lies. Offsets count from the array's magic.
struct ArrayPlace {
  std::string path;         ///< for messages: "a.npz!x.npy"
  std::string name;         ///< of the tensor; prefix of names inside an object array
  std::uint64_t bytes = 0;  ///< magic to end, decoded
  std::uint32_t file = 0;
  StorageCoding coding = StorageCoding::kRaw;
  std::uint64_t offset_bytes = 0;  ///< of the magic, or of the compressed stream, in the file
  std::uint64_t stored_bytes = 0;  ///< for kDeflate
  std::optional<std::uint32_t> crc32;
  /// All bytes from the magic on, decoded, at most `bytes_max`.
  std::function<Result<std::vector<std::byte>>(std::uint64_t bytes_max)> read_all;
};

/// Adds what the array holds to `data` and returns the node that stands for it in `data->state`.
/// Errors: kMalformed with path and offset (the data is shorter than the shape asks, a pickle is
/// broken), kLimitExceeded, kIo.
Result<StateId> add_array(const NpyHeader& header, const ArrayPlace& place,
                          const OpenOptions& options, CheckpointData* data);

/// Bytes of data that `header` asks for, for numbers. Errors: kMalformed if that passes 2^63 - 1.
Result<std::uint64_t> array_bytes(const NpyHeader& header);

}  // namespace kilter::npy
