#include <algorithm>
#include <iterator>

#include <nlohmann/json.hpp>

#include "kilter/weights.h"

#include "base/json.h"

namespace kilter {
namespace {

struct AllowRow {
  Allow allow;
  std::string_view name;
};
constexpr AllowRow kAllows[] = {
    {Allow::kMissing, "missing"},   {Allow::kExtra, "extra"},   {Allow::kShape, "shape"},
    {Allow::kDType, "dtype"},       {Allow::kValues, "values"}, {Allow::kNonFinite, "nonfinite"},
    {Allow::kOverflow, "overflow"},
};

Json tensor_json(const WeightsReport::Tensor& tensor) {
  Json row = {{"name", tensor.name}, {"fate", tensor.fate}};
  if (!tensor.reason.empty()) row["reason"] = tensor.reason;
  row["from"] = dtype_name(tensor.from);
  row["to"] = dtype_name(tensor.to);
  row["bytes"] = tensor.bytes;
  if (tensor.measured) {
    row["too_large"] = tensor.too_large;
    row["rms_error"] = tensor.rms_error;
    row["largest_error"] = tensor.largest_error;
    row["cosine"] = tensor.cosine;
  }
  if (tensor.counted) {
    row["elements"] = tensor.elements;
    row["zeros_before"] = tensor.zeros_before;
    row["zeros_after"] = tensor.zeros_after;
  }
  return row;
}

}  // namespace

std::string_view allow_name(Allow allow) {
  for (const AllowRow& row : kAllows)
    if (row.allow == allow) return row.name;
  return "";
}

std::optional<Allow> allow_from_name(std::string_view name) {
  for (const AllowRow& row : kAllows)
    if (row.name == name) return row.allow;
  return std::nullopt;
}

std::string weights_json(const WeightsReport& report) {
  Json tensors = Json::array(), values = Json::array(), files = Json::array();
  for (const auto& tensor : report.tensors) tensors.push_back(tensor_json(tensor));
  for (const auto& value : report.values) {
    Json row = {{"path", value.path}, {"fate", value.fate}};
    if (!value.reason.empty()) row["reason"] = value.reason;
    values.push_back(std::move(row));
  }
  for (const auto& [name, bytes] : report.files)
    files.push_back({{"name", name}, {"bytes", bytes}});
  Json out = {{"verb", report.verb},
              {"sources", report.sources},
              {"target", {{"path", report.target_path}, {"format", report.target_format}}},
              {"dry_run", report.dry_run},
              {"tensors", std::move(tensors)},
              {"values", std::move(values)},
              {"files", std::move(files)}};
  if (!report.notes.empty()) out["notes"] = report.notes;
  if (auto recipe = parse_json(report.recipe); recipe && !report.dry_run)
    out["recipe"] = *std::move(recipe);
  const bool measured =
      std::ranges::any_of(report.tensors, [](const auto& tensor) { return tensor.measured; });
  if (measured || (report.verb == "cast" && !report.dry_run)) {
    out["rms_error"] = report.rms_error;
    out["largest_error"] = report.largest_error;
    out["cosine"] = report.cosine;
  }
  if (report.elements > 0) {
    out["elements"] = report.elements;
    out["zeros_before"] = report.zeros_before;
    out["zeros_after"] = report.zeros_after;
  }
  if (report.saved_bytes) out["saved_bytes"] = *report.saved_bytes;
  out["read_bytes"] = report.read_bytes;
  out["written_bytes"] = report.written_bytes;
  if (report.resumed_bytes > 0) out["resumed_bytes"] = report.resumed_bytes;
  if (report.estimate)
    out["estimate"] = {{"memory_bytes", report.estimate->memory_bytes},
                       {"seconds", report.estimate->seconds}};
  out["seconds"] = report.seconds;
  return dump_json(out);
}

}  // namespace kilter
