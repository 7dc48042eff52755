// What an adapter is, for people and programs.
#include <map>

#include <nlohmann/json.hpp>

#include "kilter/adapter.h"
#include "kilter/identity.h"

#include "base/json.h"
#include "base/try.h"
#include "model/adapters/check_modules.h"
#include "model/adapters/read_adapter.h"

namespace kilter {
namespace {

class AdapterInspection {
 public:
  AdapterInspection(const Checkpoint& checkpoint, const model::AdapterDescription& adapter)
      : checkpoint_(checkpoint), adapter_(adapter) {}

  AdapterReport run() {
    out_.path = checkpoint_.data().path;
    out_.kind = adapter_.kind();
    out_.naming = model::adapter_naming_name(adapter_.naming);
    out_.dialect = adapter_.dialect;
    out_.base = adapter_.base_name;
    out_.base_source = adapter_.base_name_source;
    out_.base_hash = adapter_.base_hash;
    out_.ignored = adapter_.ignored;
    out_.unsupported = adapter_.unsupported;
    out_.scale_unknown = adapter_.scale_unknown;
    const Identity identity = identify(checkpoint_.data());
    if (identity.architecture.value != "unknown") {
      out_.architecture = identity.architecture.value;
      out_.architecture_title = identity.architecture.title;
    }
    for (const model::AdapterModule& module : adapter_.modules) add(module);
    for (const auto& [dtype, count] : dtypes_) out_.dtypes.emplace_back(dtype, count);
    add_stated();
    return std::move(out_);
  }

 private:
  void add(const model::AdapterModule& module) {
    AdapterReport::Module row;
    row.part = module.part;
    row.path = module.path;
    row.kind = model::module_kind_name(module.kind);
    if (module.kind == model::ModuleKind::kLora && module.find(model::FactorRole::kMagnitude))
      row.kind = "dora";
    row.shape = model::module_shape(module);
    row.rank = module.rank();
    row.alpha = module.alpha;
    row.scale = module.scale();
    row.rank_stabilized = module.rank_stabilized;
    row.embedding = module.embedding;
    for (const model::AdapterFactor& factor : module.factors) {
      const TensorInfo& info = checkpoint_.tensors()[factor.tensor];
      ++row.tensor_count;
      row.parameter_count += info.element_count();
      row.bytes += info.bytes();
      ++dtypes_[info.dtype];
    }
    out_.parameter_count += row.parameter_count;
    out_.bytes += row.bytes;
    out_.modules.push_back(std::move(row));
  }

  /// What says how it was trained; adapter_config.json key by key.
  void add_stated() {
    for (const auto& [key, value] : adapter_.metadata)
      if (key.starts_with("ss_") || key.starts_with("modelspec."))
        out_.stated.emplace_back(key, value);
    if (adapter_.config.empty()) return;
    const auto config = parse_json(adapter_.config);
    if (!config || !config->is_object()) return;
    for (const auto& [key, value] : config->items())
      if (!value.is_null())
        out_.stated.emplace_back(
            key, value.is_string() ? value.get<std::string>() : dump_json(value, -1));
  }

  const Checkpoint& checkpoint_;
  const model::AdapterDescription& adapter_;
  std::map<DType, std::uint64_t> dtypes_;
  AdapterReport out_;
};

Json adapter_module_json(const AdapterReport::Module& module) {
  Json row = {{"part", module.part}, {"path", module.path}, {"kind", module.kind}};
  row["shape"] = module.shape;
  row["rank"] = module.rank;
  if (module.alpha) row["alpha"] = *module.alpha;
  row["scale"] = module.scale;
  if (module.rank_stabilized) row["rank_stabilized"] = true;
  if (module.embedding) row["embedding"] = true;
  row["tensors"] = module.tensor_count;
  row["parameters"] = module.parameter_count;
  row["bytes"] = module.bytes;
  return row;
}

}  // namespace

Result<AdapterReport> inspect_adapter(const std::string& address, const OpenOptions& options) {
  KILTER_ASSIGN(const Checkpoint checkpoint, open_checkpoint(address, options));
  KILTER_ASSIGN(const model::AdapterDescription adapter, model::read_adapter(checkpoint, options));
  return AdapterInspection(checkpoint, adapter).run();
}

std::string adapter_json(const AdapterReport& report) {
  Json modules = Json::array(), ignored = Json::array(), dtypes = Json::object(),
       stated = Json::object();
  for (const auto& module : report.modules) modules.push_back(adapter_module_json(module));
  for (const auto& [name, why] : report.ignored)
    ignored.push_back({{"tensor", name}, {"reason", why}});
  for (const auto& [dtype, count] : report.dtypes) dtypes[std::string(dtype_name(dtype))] = count;
  for (const auto& [key, value] : report.stated) stated[key] = value;
  Json out = {{"path", report.path}, {"kind", report.kind}, {"naming", report.naming}};
  if (!report.dialect.empty()) out["dialect"] = report.dialect;
  out["base"] = {{"name", report.base}, {"source", report.base_source}, {"hash", report.base_hash}};
  out["architecture"] = {{"value", report.architecture}, {"title", report.architecture_title}};
  out["scale_unknown"] = report.scale_unknown;
  out["parameter_count"] = report.parameter_count;
  out["bytes"] = report.bytes;
  out["dtypes"] = std::move(dtypes);
  out["modules"] = std::move(modules);
  out["ignored"] = std::move(ignored);
  out["unsupported"] = report.unsupported;
  out["stated"] = std::move(stated);
  return dump_json(out);
}

}  // namespace kilter
