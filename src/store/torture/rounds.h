// The small checkpoints that a torture saves: each follows from its number, so that whoever finds
// one can say what its bytes must be.
#pragma once

#include <map>
#include <string>

#include "io/memory_file_system.h"
#include "store/save.h"

namespace kilter::store {

using RoundFiles = std::map<std::string, std::string>;  ///< bytes by path

/// A safetensors file whose first tensor is another in each round and whose second never changes,
/// and a configuration. `tensor_bytes` is each tensor's size, a multiple of 8.
RoundFiles round_files(std::uint64_t round, std::uint64_t tensor_bytes);

/// Saves that checkpoint; its message is "round N of B bytes". Errors: as save_tree().
Result<SaveOutcome> save_round(Store& store, std::uint64_t round, std::uint64_t tensor_bytes,
                               const std::string& branch = "main");

/// The number in a commit's message. Errors: kCorrupt for a commit that is no round.
Result<std::uint64_t> round_of(const Commit& commit);

/// Reads every file of every commit that references reach and compares it, to the last byte, with
/// what was saved. Returns the number of commits. Errors: kCorrupt, or what reading reports.
Result<std::uint64_t> check_rounds(Store& store);

/// The round at the tip of a branch. Errors: kNotFound; as round_of().
Result<std::uint64_t> tip_round(Store& store, const std::string& branch = "main");

}  // namespace kilter::store
