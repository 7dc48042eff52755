#include <nlohmann/json.hpp>

#include "kilter/adapter_factors.h"

#include "base/json.h"

namespace kilter {
namespace {

double ratio_of(double part, double whole) { return whole > 0 ? part / whole : 0; }

Json module_json(const FactorReport::Module& module, bool ran) {
  Json row = {{"name", module.name},
              {"rows", module.rows},
              {"columns", module.columns},
              {"rank", module.rank}};
  if (module.rank_before > 0) row["rank_before"] = module.rank_before;
  if (!ran) return row;
  row["norm"] = module.norm;
  row["error"] = module.error;
  row["relative_error"] = ratio_of(module.error, module.norm);
  row["energy"] = module.energy;
  row["next_value"] = module.next;
  return row;
}

}  // namespace

std::string factor_json(const FactorReport& report) {
  auto out = parse_json(weights_json(report)).value_or(Json::object());
  Json modules = Json::array();
  for (const auto& module : report.modules) modules.push_back(module_json(module, !report.dry_run));
  out["modules"] = std::move(modules);
  if (!report.dry_run) {
    out["norm"] = report.norm;
    out["error"] = report.error;
    out["relative_error"] = ratio_of(report.error, report.norm);
    out["left_out"] = {{"tensors", report.left_out},
                       {"bytes", report.left_out_bytes},
                       {"norm", report.left_out_norm}};
  }
  return dump_json(out);
}

}  // namespace kilter
