// Writes distributed checkpoints: a file for each rank, then `.metadata`.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "flow/sink.h"
#include "formats/dcp/metadata.h"
#include "formats/format.h"

namespace kilter::dcp {

/// Which part of which tensor an output of the plan is, and who holds it.
struct OutputShard {
  std::string tensor;              ///< as in WriteOptions::tensor_names
  std::vector<std::int64_t> size;  ///< of the whole tensor
  Chunk chunk;
  unsigned rank = 0;
};

/// A sink whose files are `__R_0.distcp` for each rank that holds something, and `.metadata` last.
/// `shards` has one row for each output of the plan (those of one tensor in any order); empty:
/// every output is a whole tensor of that name, on rank 0. Objects are on rank 0. `options.state`
/// is flattened as torch does; tensors it does not mention get their own names.
std::unique_ptr<Sink> make_dcp_sink(const formats::WriteOptions& options,
                                    std::vector<OutputShard> shards = {});

}  // namespace kilter::dcp
