// The header of a safetensors file: parsed, judged by every rule of the format, all faults kept.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kilter/dtype.h"

#include "formats/findings.h"
#include "io/file_system.h"

namespace kilter::safetensors {

using formats::Fault;

struct Entry {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<std::int64_t> shape;
  std::uint64_t begin_bytes = 0;  ///< in the data, which begins after the header
  std::uint64_t end_bytes = 0;
  bool usable = true;  ///< its own numbers are sound and all of its bytes are in the file
};

struct Header {
  std::uint64_t header_bytes = 0;  ///< N
  std::uint64_t file_bytes = 0;
  std::uint64_t missing_bytes = 0;  ///< of a file that ends too early
  std::vector<Entry> entries;       ///< in the header's order
  std::vector<std::pair<std::string, std::string>> metadata;
  bool has_metadata = false;
  std::vector<Fault>
      faults;  ///< at most kFaultCountMax, in the order found; empty for a sound file
  std::uint64_t data_offset_bytes() const { return 8 + header_bytes; }
};

inline constexpr std::size_t kFaultCountMax = 1000;

/// Reads and judges. An error return means that there is no header to speak of (too short, no JSON,
/// N too large); everything else is in `faults`, and entries hit by one are not `usable`.
/// Errors: kMalformed with path, offset, expected, found; kLimitExceeded; kIo.
Result<Header> read_header(const io::ReadFile& file, std::uint64_t header_bytes_max);

/// The same on text alone: `json` is the header, `file_bytes` what the file holds in all.
Result<Header> parse_header(std::string_view json, std::uint64_t file_bytes);

}  // namespace kilter::safetensors
