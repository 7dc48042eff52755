// The conversion of an opened checkpoint; convert() and verify --rescue share it.
#pragma once

#include <string>
#include <vector>

#include "kilter/convert.h"

namespace kilter::ops {

/// As convert(), for a checkpoint that is open already. `only_names`, if given, are the exact names
/// of the tensors to take (the others are reported as damaged).
Result<ConvertReport> convert_checkpoint(const Checkpoint& source, const std::string& target,
                                         const ConvertOptions& options,
                                         const std::vector<std::string>* only_names = nullptr);

}  // namespace kilter::ops
