// Whether a module's factors fit each other, and what shape they make.
#pragma once

#include <cstdint>
#include <vector>

#include "kilter/error.h"

#include "model/adapters/description.h"

namespace kilter::model {

/// Errors: kMalformed naming the tensor: a factor is missing, or inner dimensions differ.
Status check_module(const AdapterModule& module);

/// [out, in, …] of the weight that the module's factors make: what it changes must have as many
/// elements, row by row. Embeddings and IA3 as their own kinds say; empty where the kind makes none
/// (IA3, replaced tensors, a difference of the bias alone). The module passed check_module().
std::vector<std::int64_t> module_shape(const AdapterModule& module);

}  // namespace kilter::model
