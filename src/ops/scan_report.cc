// Scan reports as JSON and as SARIF 2.1.0 (OASIS standard).
#include <algorithm>
#include <set>

#include <nlohmann/json.hpp>

#include "kilter/scan.h"
#include "kilter/version.h"

#include "base/json.h"
#include "ops/report_json.h"

namespace kilter {

namespace {

/// SARIF's own three levels.
std::string_view sarif_level(Severity severity) {
  switch (severity) {
    case Severity::kNote:
      return "note";
    case Severity::kUnknown:
    case Severity::kMalformed:
    case Severity::kSuspicious:
      return "warning";
    case Severity::kDangerous:
      return "error";
  }
  return "warning";
}

/// A relative or absolute path as a URI reference: reserved bytes are percent-encoded.
std::string uri_of(const std::string& path) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out = path.starts_with('/') ? "file://" : "";
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                       (byte >= '0' && byte <= '9') ||
                       std::string_view("/-._~").find(c) != std::string_view::npos;
    if (plain) {
      out += c;
    } else {
      out += {'%', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return out;
}

Json sarif_result(const ScanFile& file, const Finding& finding) {
  std::string text = finding.message;
  if (!finding.evidence.empty()) text += ": " + finding.evidence;
  Json physical = {{"artifactLocation", {{"uri", uri_of(file.path)}}}};
  if (finding.offset_bytes) physical["region"] = {{"byteOffset", *finding.offset_bytes}};
  Json properties = {{"severity", ops::severity_name(finding.severity)}};
  if (!finding.path.empty()) properties["path"] = finding.path;
  if (!finding.reachable.empty()) properties["reachable"] = finding.reachable;
  if (!finding.loaders.empty()) properties["loaders"] = finding.loaders;
  return {{"ruleId", finding.rule},
          {"level", sarif_level(finding.severity)},
          {"message", {{"text", text}}},
          {"locations", Json::array({{{"physicalLocation", std::move(physical)}}})},
          {"properties", std::move(properties)}};
}

}  // namespace

std::string scan_json(const ScanReport& report) {
  Json files = Json::array();
  for (const ScanFile& file : report.files) {
    files.push_back({{"path", file.path},
                     {"format", file.format},
                     {"verdict", verdict_name(file.verdict)},
                     {"findings", ops::findings_to_json(file.findings)}});
  }
  return dump_json(Json{{"verdict", verdict_name(report.verdict)}, {"files", std::move(files)}});
}

std::string scan_sarif(const ScanReport& report) {
  std::set<std::string> rule_names;
  Json results = Json::array(), rules = Json::array();
  for (const ScanFile& file : report.files) {
    for (const Finding& finding : file.findings) {
      rule_names.insert(finding.rule);
      results.push_back(sarif_result(file, finding));
    }
  }
  for (const std::string& name : rule_names) rules.push_back({{"id", name}});
  Json driver = {
      {"name", "kilter"}, {"version", std::string(version())}, {"rules", std::move(rules)}};
  Json run = {{"tool", {{"driver", std::move(driver)}}}, {"results", std::move(results)}};
  return dump_json(Json{{"$schema", "https://json.schemastore.org/sarif-2.1.0.json"},
                        {"version", "2.1.0"},
                        {"runs", Json::array({std::move(run)})}});
}

}  // namespace kilter
