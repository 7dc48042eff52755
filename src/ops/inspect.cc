#include "kilter/inspect.h"

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/text.h"
#include "base/try.h"
#include "formats/folder/index_probe.h"
#include "formats/format.h"
#include "formats/state_json/state_json.h"
#include "ops/hashes.h"
#include "ops/report_json.h"

namespace kilter {

namespace {

using formats::Diagnosis;
using formats::Probe;

InspectReport::NotACheckpoint from_diagnosis(const Diagnosis& diagnosis) {
  return {diagnosis.kind, diagnosis.message, diagnosis.hint, diagnosis.missing_bytes};
}

/// Content no row of the table and no diagnosis knows.
InspectReport::NotACheckpoint nothing_known() {
  return {"unknown", "no known checkpoint format fits its content",
          "kilter reads safetensors, PyTorch (zip, legacy, tar), pickle, npy/npz, folders of them, "
          "DeepSpeed and TensorFlow checkpoints",
          std::nullopt};
}

/// A file that a format claims but that does not open may have a plainer explanation, such as a
/// download that broke off.
std::optional<InspectReport::NotACheckpoint> explain(io::FileSystem& files, const Probe& probe) {
  const auto diagnosis = formats::diagnose(files, probe);
  if (!diagnosis) return std::nullopt;
  return from_diagnosis(*diagnosis);
}

Json answer_to_json(const Answer& answer) {
  Json out = {{"value", answer.value}};
  if (!answer.title.empty()) out["title"] = answer.title;
  out["confidence"] = answer.confidence;
  out["evidence"] = answer.evidence;
  return out;
}

Json counts_to_json(const std::vector<Count>& counts) {
  Json out = Json::array();
  for (const Count& count : counts) {
    out.push_back({{"name", count.name},
                   {"tensors", count.tensor_count},
                   {"parameters", count.parameter_count},
                   {"bytes", count.bytes}});
  }
  return out;
}

void add_identity(const Identity& identity, Json* out) {
  (*out)["instance"] = answer_to_json(identity.instance);
  (*out)["type"] = answer_to_json(identity.type);
  (*out)["architecture"] = answer_to_json(identity.architecture);
  (*out)["variant"] = answer_to_json(identity.variant);
  (*out)["adapter"] = answer_to_json(identity.adapter);
  (*out)["licence"] = answer_to_json(identity.licence);
  Json sizes = Json::object(), shared = Json::array(), stated = Json::array();
  for (const auto& [key, value] : identity.sizes) sizes[key] = value;
  for (const SharedGroup& group : identity.shared) {
    shared.push_back({{"kind", group.kind}, {"tensors", group.tensors}, {"bytes", group.bytes}});
  }
  for (const auto& row : identity.stated)
    stated.push_back({{"key", row.key}, {"value", row.value}, {"source", row.source}});
  (*out)["sizes"] = std::move(sizes);
  (*out)["parameter_count"] = identity.parameter_count;
  (*out)["tensor_bytes"] = identity.tensor_bytes;
  (*out)["by_dtype"] = counts_to_json(identity.by_dtype);
  (*out)["by_part"] = counts_to_json(identity.by_part);
  (*out)["shared"] = std::move(shared);
  (*out)["stated"] = std::move(stated);
}

std::string_view coding_name(StorageCoding coding) {
  switch (coding) {
    case StorageCoding::kRaw:
      return "raw";
    case StorageCoding::kDeflate:
      return "deflate";
    case StorageCoding::kInline:
      return "inline";
    case StorageCoding::kZstd:
      return "zstd";
    case StorageCoding::kPieces:
      return "pieces";
  }
  return "raw";
}

Json tensor_to_json(const CheckpointData& data, const TensorInfo& tensor, const std::string& part) {
  const StorageInfo& storage = data.index.storages[tensor.storage];
  Json out = {{"name", tensor.name},
              {"dtype", dtype_name(tensor.dtype)},
              {"shape", tensor.shape},
              {"strides", tensor.strides},
              {"bytes", tensor.bytes()},
              {"contiguous", tensor.contiguous()},
              {"part", part},
              {"file", data.index.files[storage.file].path},
              {"storage", tensor.storage},
              {"storage_offset", storage.offset_bytes},
              {"offset_elements", tensor.offset_elements},
              {"coding", coding_name(storage.coding)},
              {"big_endian", storage.big_endian}};
  if (!storage.device.empty()) out["device"] = storage.device;
  if (tensor.requires_grad) out["requires_grad"] = true;
  if (tensor.parameter) out["parameter"] = true;
  if (tensor.conjugate) out["conjugate"] = true;
  if (tensor.negative) out["negative"] = true;
  return out;
}

Json tensors_to_json(const InspectReport& report, const std::string& glob) {
  Json out = Json::array();
  const CheckpointData& data = report.checkpoint->data();
  const std::vector<std::string> parts = tensor_parts(data);
  for (std::size_t i = 0; i < data.index.tensors.size(); ++i) {
    const TensorInfo& tensor = data.index.tensors[i];
    if (!glob_match(glob, tensor.name)) continue;
    Json row = tensor_to_json(data, tensor, parts[i]);
    if (i < report.tensor_sha256.size()) row["sha256"] = report.tensor_sha256[i];
    out.push_back(std::move(row));
  }
  return out;
}

Json hashes_to_json(const std::vector<FileHashes>& hashes) {
  Json out = Json::array();
  for (const FileHashes& one : hashes) {
    Json row = {{"path", one.path},
                {"sha256", one.sha256},
                {"blake3", one.blake3},
                {"webui_old", one.webui_old}};
    if (!one.data_sha256.empty()) row["data_sha256"] = one.data_sha256;
    out.push_back(std::move(row));
  }
  return out;
}

/// The tree in the encoding of spec/state-json.md; null where there is none.
Json state_to_json(const CheckpointData& data) {
  std::vector<std::string> names;
  for (const TensorInfo& tensor : data.index.tensors) names.push_back(escape_text(tensor.name));
  const auto text = state_json::write_state_json(data.state, names, {});
  if (!text) return nullptr;
  JsonLimits limits;
  limits.bytes_max = text->size();
  auto parsed = parse_json(*text, limits);
  return parsed ? std::move(*parsed) : Json(nullptr);
}

Json checkpoint_to_json(const InspectReport& report, const std::string& tensor_glob, bool tree) {
  const CheckpointData& data = report.checkpoint->data();
  Json out = {{"path", report.path},
              {"file_bytes", report.file_bytes},
              {"format",
               {{"name", data.format},
                {"detail", data.format_detail},
                {"evidence", report.format_evidence}}}};
  add_identity(report.identity, &out);
  out["tensor_count"] = data.index.tensors.size();
  Json metadata = Json::object(), files = Json::array();
  for (const auto& [key, value] : data.metadata) metadata[key] = value;
  for (const FileEntry& file : data.index.files)
    files.push_back({{"path", file.path}, {"bytes", file.bytes}});
  out["metadata"] = std::move(metadata);
  out["files"] = std::move(files);
  out["findings"] = ops::findings_to_json(data.findings);
  if (!report.hashes.empty()) out["hashes"] = hashes_to_json(report.hashes);
  if (!tensor_glob.empty()) out["tensors"] = tensors_to_json(report, tensor_glob);
  if (tree) out["state"] = state_to_json(data);
  return out;
}

Status add_hashes(io::FileSystem& files, const InspectOptions& options, InspectReport* report) {
  const CheckpointData& data = report->checkpoint->data();
  KILTER_ASSIGN(report->hashes, ops::hash_files(data, files, options.context));
  if (!options.tensor_hashes) return ok();
  for (std::size_t i = 0; i < data.index.tensors.size(); ++i) {
    KILTER_ASSIGN(std::string hash, ops::hash_tensor(*report->checkpoint, i, options.context));
    report->tensor_sha256.push_back(std::move(hash));
  }
  return ok();
}

}  // namespace

Result<InspectReport> inspect(const std::string& address, const InspectOptions& options) {
  io::FileSystem& files =
      options.open.files != nullptr ? *options.open.files : io::real_file_system();
  InspectReport report;
  report.path = address;
  KILTER_ASSIGN(const Probe probe, formats::probe_checkpoint(files, address));
  report.file_bytes = probe.bytes;
  const formats::Recognized recognized = formats::recognize(probe);
  if (recognized.format == nullptr) {
    report.not_a_checkpoint = explain(files, probe).value_or(nothing_known());
    return report;
  }
  report.format_evidence = recognized.detection.evidence;
  auto checkpoint = open_checkpoint(address, options.open);
  if (!checkpoint) {
    report.not_a_checkpoint = explain(files, probe);
    if (!report.not_a_checkpoint) return fail(std::move(checkpoint).error());
    return report;
  }
  report.checkpoint = std::move(*checkpoint);
  const CheckpointData& data = report.checkpoint->data();
  if (data.root_is_folder) {
    report.file_bytes = 0;
    for (const FileEntry& file : data.index.files) report.file_bytes += file.bytes;
  }
  report.identity = identify(data);
  if (options.hashes) KILTER_TRY(add_hashes(files, options, &report));
  return report;
}

std::string inspect_json(const InspectReport& report, const std::string& tensor_glob, bool tree) {
  if (report.checkpoint) return dump_json(checkpoint_to_json(report, tensor_glob, tree));
  Json not_one = {{"kind", report.not_a_checkpoint->kind},
                  {"message", report.not_a_checkpoint->message},
                  {"hint", report.not_a_checkpoint->hint}};
  if (report.not_a_checkpoint->missing_bytes)
    not_one["missing_bytes"] = *report.not_a_checkpoint->missing_bytes;
  return dump_json(Json{{"path", report.path},
                        {"file_bytes", report.file_bytes},
                        {"not_a_checkpoint", std::move(not_one)}});
}

}  // namespace kilter
