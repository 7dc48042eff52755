// What there is how much of: by dtype, by part, tied and shared.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "kilter/identity.h"

#include "model/match.h"
#include "model/names.h"
#include "model/unwrap.h"

namespace kilter::model {

/// True for a tensor that is state but no parameter: batch statistics, position ids, masks.
bool is_buffer(std::string_view form);

/// Elements of a group's tensors, 0 for buffers. Never overflows: it stops at 2^63.
std::uint64_t group_elements(const NameTable& names, const NameGroup& group);

/// Fills by_dtype, by_part, parameter_count, tensor_bytes and shared.
void count_all(const CheckpointData& data, const Placement& placement, const NameTable& weights,
               const Components& components, Identity* identity);

}  // namespace kilter::model
