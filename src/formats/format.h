// One interface for every format, one row each in the table, one conformance suite.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kilter/checkpoint.h"
#include "kilter/finding.h"
#include "kilter/progress.h"

#include "base/byte_reader.h"
#include "flow/sink.h"
#include "io/file_system.h"

namespace kilter::formats {

inline constexpr std::uint64_t kProbeHeadBytes = 64 << 10;
inline constexpr std::uint64_t kProbeTailBytes = 64 << 10;

/// What recognition sees: never the name's extension.
struct Probe {
  std::string path;
  bool is_folder = false;
  std::uint64_t bytes = 0;
  std::vector<std::byte> head;           ///< first kProbeHeadBytes of a file
  std::vector<std::byte> tail;           ///< last kProbeTailBytes of a file
  std::vector<std::string> entry_names;  ///< of a folder, recursive, relative, sorted
};
Result<Probe> make_probe(io::FileSystem& files, const std::string& path);

struct Detection {
  int score = 0;         ///< 0 = not this; 100 = certain by magic and structure
  std::string evidence;  ///< "u64 header length 1208, then '{'"
};

struct OpenArguments {
  io::FileSystem* files = nullptr;
  std::string path;
  const Probe* probe = nullptr;
  OpenOptions options;
};

struct CheckArguments {
  io::FileSystem* files = nullptr;
  std::string path;
  const Probe* probe = nullptr;
  bool read_data = true;  ///< checksums of data, not only structure
  RunContext context;
};

/// How a writer shall write.
struct WriteOptions {
  std::string stem = "model";         ///< file name without extension
  std::string extension;              ///< with the dot, as the user wrote it; "" = usual one
  std::uint64_t shard_bytes_max = 0;  ///< 0 = one file
  std::vector<std::pair<std::string, std::string>> metadata;
  /// State to write: torch holds it inside; with it, safetensors and npz write STEM.state.json
  /// beside (nothing, where it is a flat dictionary of the tensors). Callers that write that file
  /// themselves leave it null. kTensor nodes carry positions in
  /// `tensor_names`, which name views of the plan's outputs. Must outlive the sink.
  const StateTree* state = nullptr;
  std::vector<std::string> tensor_names;
  /// safetensors and npz only: tensors left out because another output holds the same elements, as
  /// (name, name of that output). They go into STEM.state.json and come back when read.
  std::vector<std::pair<std::string, std::string>> aliases;
};

class Format {
 public:
  virtual ~Format() = default;
  virtual std::string_view name() const = 0;   ///< "safetensors"
  virtual std::string_view title() const = 0;  ///< "safetensors file"
  virtual Detection detect(const Probe& probe) const = 0;
  /// Header only. The returned index is validated. With options.lenient faults become findings.
  virtual Result<CheckpointData> open(const OpenArguments& arguments) const = 0;
  /// Appends every fault of structure, named by tensor where one is hit. An error return means
  /// that the check itself could not run (I/O, cancelled).
  virtual Status check(const CheckArguments& arguments, std::vector<Finding>* findings) const = 0;
  /// Appends security findings. Must go on after faults: a broken tail hides nothing before it.
  virtual Status scan(const CheckArguments& arguments, std::vector<Finding>* findings) const = 0;
  /// A sink, or nullptr for formats Kilter only reads.
  virtual std::unique_ptr<Sink> make_sink(const WriteOptions& options) const {
    (void)options;
    return nullptr;
  }
};

/// All formats, in the order they are asked. The one table.
std::span<const Format* const> format_table();
const Format* find_format(std::string_view name);

/// The best detection; nullptr format if none scores.
struct Recognized {
  const Format* format = nullptr;
  Detection detection;
};
Recognized recognize(const Probe& probe);

/// Plain words for a file that is no checkpoint: LFS pointer (with the real size), HTML or JSON
/// error page, empty, zero-filled, text-mangled, truncated download (with missing bytes) …
struct Diagnosis {
  std::string kind;     ///< "lfs-pointer", "html", "zero-filled", "truncated", "empty", …
  std::string message;  ///< one sentence
  std::string hint;     ///< what to do
  std::optional<std::uint64_t> missing_bytes;
};
std::optional<Diagnosis> diagnose(io::FileSystem& files, const Probe& probe);

}  // namespace kilter::formats
