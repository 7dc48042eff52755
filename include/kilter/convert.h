// kilter convert: any readable checkpoint to a format Kilter writes. Owned by the floor `ops`.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "kilter/checkpoint.h"
#include "kilter/output_options.h"

namespace kilter {

enum class Part : std::uint8_t { kAll, kWeights, kEma, kOptimizer };

struct ConvertOptions : OutputOptions {
  std::vector<std::string> only;                            ///< globs; empty = everything
  std::vector<std::pair<std::string, std::string>> rename;  ///< FROM=TO: prefix, or glob with one *
  Part part = Part::kAll;
};

/// What became of every tensor and every value that is not a tensor.
struct ConvertReport {
  struct Tensor {
    std::string from;
    std::string to;      ///< empty if dropped
    std::string fate;    ///< "copied", "made contiguous", "dropped", …
    std::string reason;  ///< the rule
    std::uint64_t bytes = 0;
  };
  struct Value {
    std::string path;  ///< "optimizer.param_groups.0.lr"
    std::string fate;  ///< "kept in model.state.json", "kept", "dropped", "substituted"
    std::string reason;
  };
  std::string source_path, source_format, target_path, target_format;
  std::vector<Tensor> tensors;
  std::vector<Value> values;
  std::vector<std::pair<std::string, std::uint64_t>> files;  ///< name, bytes
  std::uint64_t read_bytes = 0;
  std::uint64_t written_bytes = 0;
  double seconds = 0;
  bool dry_run = false;
};

/// Preflight first: every tensor and value accounted for, names unique, room on the disk. The
/// output appears whole or not at all. The bytes depend on input and options that name content,
/// never on threads, tiles or budget.
///
/// Errors: as open_checkpoint(); kAlreadyExists without force; kInvalidArgument (unknown target,
/// rename that makes two tensors one, glob that matches nothing); kNoSpace; kCancelled.
Result<ConvertReport> convert(const std::string& source, const std::string& target,
                              const ConvertOptions& options = {});
std::string convert_json(const ConvertReport& report);

}  // namespace kilter
