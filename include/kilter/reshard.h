// kilter reshard: any readable checkpoint cut for a number of ranks. Owned by the floor `ops`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kilter/checkpoint.h"

namespace kilter {

/// Tensors whose name matches `glob` are cut along `dim` (negative: from the last); nullopt: they
/// stay whole, on one rank. The first rule that matches counts.
struct ShardRule {
  std::string glob;
  std::optional<std::int64_t> dim;
};

/// Reads a plan: a JSON object, or YAML lines `GLOB: DIM`; DIM is a number, `whole`, `replicate` or
/// `null`. Errors: kMalformed with the line or offset; kNotFound, kIo; kLimitExceeded past 16 MiB.
Result<std::vector<ShardRule>> read_shard_rules(const std::string& path);

struct ReshardOptions {
  unsigned ranks = 1;
  /// Empty: every tensor along its first dimension, as FSDP does. Else what no rule matches stays
  /// whole; end with {"*", 0} to cut it.
  std::vector<ShardRule> rules;
  std::string to = "dcp";  ///< "dcp", or "safetensors": a file a rank
  bool force = false;
  bool dry_run = false;
  std::uint64_t max_memory_bytes = 512ULL << 20;
  unsigned thread_count = 0;
  bool direct_io = true;
  OpenOptions open;
  RunContext context;
};

struct ReshardReport {
  struct Tensor {
    std::string name;
    std::optional<std::int64_t> dim;  ///< nullopt: whole
    std::string reason;               ///< why it stays whole; empty if it is cut
    unsigned pieces = 1;
    std::uint64_t bytes = 0;
  };
  std::string source_path, source_format, target_path, target_format;
  unsigned ranks = 1;
  std::vector<Tensor> tensors;
  std::vector<std::uint64_t> rank_bytes;  ///< tensor bytes of each rank
  std::size_t value_count = 0;            ///< values that are not tensors
  bool values_kept = true;
  std::vector<std::pair<std::string, std::uint64_t>> files;  ///< name, bytes
  std::uint64_t read_bytes = 0;
  std::uint64_t written_bytes = 0;
  double seconds = 0;
  bool dry_run = false;
};

/// Writes the folder `target` whole or not at all, in bounded memory, reading of each tensor what a
/// piece needs. Along its dimension a tensor is cut as torch.chunk cuts: pieces of
/// ceil(size/ranks), the last ones shorter or absent. Whole tensors go to the rank that has least.
///
/// Errors: as open_checkpoint(); kInvalidArgument (no ranks or more than 65536, a rule whose
/// dimension a tensor has not or that matches nothing, unknown target); kAlreadyExists without
/// force; kNoSpace; kIo; kCancelled.
Result<ReshardReport> reshard(const std::string& source, const std::string& target,
                              const ReshardOptions& options = {});
std::string reshard_json(const ReshardReport& report);

}  // namespace kilter
