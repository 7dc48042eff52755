#include "ops/report_json.h"

#include <nlohmann/json.hpp>

namespace kilter::ops {

std::string_view severity_name(Severity severity) {
  switch (severity) {
    case Severity::kNote:
      return "note";
    case Severity::kUnknown:
      return "unknown";
    case Severity::kMalformed:
      return "malformed";
    case Severity::kSuspicious:
      return "suspicious";
    case Severity::kDangerous:
      return "dangerous";
  }
  return "unknown";
}

Json finding_to_json(const Finding& finding) {
  Json out = {{"rule", finding.rule}, {"severity", severity_name(finding.severity)}};
  if (!finding.path.empty()) out["path"] = finding.path;
  if (!finding.tensor.empty()) out["tensor"] = finding.tensor;
  if (finding.offset_bytes) out["offset"] = *finding.offset_bytes;
  out["message"] = finding.message;
  if (!finding.evidence.empty()) out["evidence"] = finding.evidence;
  if (!finding.reachable.empty()) out["reachable"] = finding.reachable;
  if (!finding.loaders.empty()) out["loaders"] = finding.loaders;
  return out;
}

Json findings_to_json(const std::vector<Finding>& findings) {
  Json out = Json::array();
  for (const Finding& finding : findings) out.push_back(finding_to_json(finding));
  return out;
}

Json convert_to_json(const ConvertReport& report) {
  Json tensors = Json::array(), values = Json::array(), files = Json::array();
  for (const auto& t : report.tensors) {
    Json row = {{"from", t.from}};
    if (!t.to.empty()) row["to"] = t.to;
    row["fate"] = t.fate;
    if (!t.reason.empty()) row["reason"] = t.reason;
    row["bytes"] = t.bytes;
    tensors.push_back(std::move(row));
  }
  for (const auto& v : report.values) {
    Json row = {{"path", v.path}, {"fate", v.fate}};
    if (!v.reason.empty()) row["reason"] = v.reason;
    values.push_back(std::move(row));
  }
  for (const auto& [name, bytes] : report.files)
    files.push_back({{"name", name}, {"bytes", bytes}});
  return {{"source", {{"path", report.source_path}, {"format", report.source_format}}},
          {"target", {{"path", report.target_path}, {"format", report.target_format}}},
          {"dry_run", report.dry_run},
          {"tensors", std::move(tensors)},
          {"values", std::move(values)},
          {"files", std::move(files)},
          {"read_bytes", report.read_bytes},
          {"written_bytes", report.written_bytes},
          {"seconds", report.seconds}};
}

}  // namespace kilter::ops

namespace kilter {

std::string convert_json(const ConvertReport& report) {
  return dump_json(ops::convert_to_json(report));
}

}  // namespace kilter
