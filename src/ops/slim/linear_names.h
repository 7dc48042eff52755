// Which tensors are the weights of linear layers, by name and shape.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kilter::ops {

/// Matrices that are not treated as linear layers, though they are called X.weight.
struct NotLinearRow {
  std::string_view glob;
  std::string_view what;  ///< "an embedding"
};
std::span<const NotLinearRow> not_linear_table();

/// Empty for the weight of a linear layer; else what it is instead: "an embedding", "no matrix", …
std::string_view why_not_linear(const std::string& name, const std::vector<std::int64_t>& shape);

/// Whether a model would have a linear layer there, quantized or not: a matrix called X.weight.
bool is_matrix_weight(const std::string& name, const std::vector<std::int64_t>& shape);

/// "a.b" of "a.b.weight"; "" of "weight".
std::string module_of_weight(const std::string& name);

}  // namespace kilter::ops
