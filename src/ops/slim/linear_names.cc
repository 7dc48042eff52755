#include "ops/slim/linear_names.h"

#include "base/text.h"

namespace kilter::ops {

bool is_matrix_weight(const std::string& name, const std::vector<std::int64_t>& shape) {
  return shape.size() == 2 && (name == "weight" || name.ends_with(".weight"));
}

std::string_view why_not_linear(const std::string& name, const std::vector<std::int64_t>& shape) {
  if (shape.size() != 2) return "no matrix";
  if (!is_matrix_weight(name, shape)) return "not called X.weight";
  for (const NotLinearRow& row : not_linear_table())
    if (glob_match(row.glob, name)) return row.what;
  return "";
}

std::string module_of_weight(const std::string& name) {
  constexpr std::string_view kWeight = ".weight";
  if (name.ends_with(kWeight)) return name.substr(0, name.size() - kWeight.size());
  return name == "weight" ? "" : name;
}

}  // namespace kilter::ops
