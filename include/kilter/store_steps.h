// The steps of a run in a store, as addresses. Owned by the floor `store`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kilter/error.h"

namespace kilter {

struct StepSelection {
  std::optional<std::int64_t> first, last;  ///< both included
  std::int64_t every = 1;                   ///< only steps that are multiples of it; at least 1
};

/// What leads to `address` ("runs.kilter@main"), oldest first, each as STORE@DIGEST: commits whose
/// metadata state a step that is selected, and whose data is there. Where two state the same step
/// the later one counts.
/// Errors: kInvalidArgument if `address` is none in a store; kNotFound where nothing is selected;
/// as Store::find().
Result<std::vector<std::string>> store_steps(const std::string& address,
                                             const StepSelection& selection = {});

/// Whether `address` lies in a store.
bool is_store_address(const std::string& address);

}  // namespace kilter
