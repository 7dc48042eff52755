// What a loss of power may leave of a save or a collection, tried state by state.
#pragma once

#include <cstdint>
#include <string>

#include "kilter/progress.h"

namespace kilter::store {

struct PowerLossRequest {
  std::uint64_t tensor_bytes = 8192;
  /// For each moment: everything unsynced is lost, nothing is, and this many random mixtures.
  unsigned mixtures = 12;
  /// From one state of each moment also go on working: collect, save until index files merge, save
  /// again what was given up.
  bool go_on = true;
  std::uint64_t seed = 1;
  RunContext context;
};

struct PowerLossOutcome {
  std::uint64_t write_count = 0;  ///< calls that were recorded, all scenarios together
  std::uint64_t state_count = 0;  ///< states of the disk that were tried
  std::uint64_t old_count = 0;    ///< of them those that held the state before
  std::uint64_t new_count = 0;    ///< and those that held the one after
  std::uint64_t continued_count = 0;
  std::string fault;  ///< the first bad state; empty if there is none
};

/// Records every write of a save, of a save that merges index files, and of a collection, in
/// memory; then replays each prefix of them, loses what was not synced, wholly and in part, and
/// looks: the store must open, every reference read to the last byte, the tip be the old or the new
/// commit. Errors: kCancelled; what the undisturbed runs report.
Result<PowerLossOutcome> try_power_losses(const PowerLossRequest& request);

}  // namespace kilter::store
