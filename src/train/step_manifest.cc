#include "train/step_manifest.h"

#include <algorithm>
#include <cmath>
#include <set>

#include <nlohmann/json.hpp>

#include "base/checked.h"
#include "base/json.h"
#include "base/try.h"
#include "io/safe_path.h"
#include "store/api/translate.h"
#include "store/digest.h"
#include "store/format/json_fields.h"

namespace kilter::train {
namespace {

constexpr std::string_view kFormat = "kilter-step";
constexpr std::uint64_t kVersion = 1;

Error manifest_fault(std::string message) { return {ErrorCode::kMalformed, std::move(message)}; }

Result<ManifestFile> parse_file(const Json& value) {
  if (!value.is_object()) return fail(manifest_fault("an entry of \"files\" is no object"));
  store::JsonFields fields(value, "a file");
  ManifestFile file;
  file.path = fields.text("path");
  for (const Json& run : fields.array("runs")) {
    if (!run.is_array() || run.size() != 2) return fail(manifest_fault("a run is no pair"));
    ManifestRun parsed;
    parsed.bytes = fields.to_u64(run[0], kRunBytesMax);
    parsed.digest = fields.to_digest(run[1]);
    if (parsed.bytes == 0) return fail(manifest_fault("an empty run"));
    file.runs.push_back(parsed);
  }
  KILTER_TRY(fields.status());
  KILTER_TRY(io::check_relative_name(file.path));
  return file;
}

}  // namespace

std::uint64_t ManifestFile::bytes() const {
  std::uint64_t sum = 0;
  for (const ManifestRun& run : runs) sum += run.bytes;
  return sum;
}

std::string manifest_text(const StepManifest& manifest) {
  Json out;
  out["format"] = kFormat;
  out["version"] = kVersion;
  out["step"] = manifest.step;
  // Metadata from outside was checked when it came in.
  const auto metadata = store::api::to_json(manifest.metadata);
  constexpr auto kReplace = store::SortedJson::error_handler_t::replace;  // what is no UTF-8
  out["metadata"] =
      metadata ? Json::parse(metadata->dump(-1, ' ', false, kReplace)) : Json::object();
  out["files"] = Json::array();
  for (const ManifestFile& file : manifest.files) {
    Json entry;
    entry["path"] = file.path;
    entry["runs"] = Json::array();
    for (const ManifestRun& run : file.runs)
      entry["runs"].push_back({run.bytes, to_hex(run.digest)});
    out["files"].push_back(std::move(entry));
  }
  return dump_json(out, -1) + "\n";
}

Result<StepManifest> parse_manifest(std::string_view text) {
  KILTER_ASSIGN(const Json value, parse_json(text, {.bytes_max = 256ULL << 20, .depth_max = 64}));
  if (!value.is_object()) return fail(manifest_fault("no JSON object"));
  store::JsonFields fields(value, "kilter-step.json");
  if (fields.text("format") != kFormat) return fail(manifest_fault("no kilter-step"));
  const std::uint64_t version = fields.u64("version", UINT32_MAX);
  KILTER_TRY(fields.status());
  if (version != kVersion)
    return fail(Error(ErrorCode::kUnsupported, "a step of a version that is not known")
                    .wanted("1", std::to_string(version)));
  StepManifest manifest;
  manifest.step = static_cast<std::int64_t>(fields.u64("step", INT64_MAX));
  const Json& metadata = fields.member("metadata");
  for (const Json& file : fields.array("files")) {
    KILTER_ASSIGN(ManifestFile parsed, parse_file(file));
    manifest.files.push_back(std::move(parsed));
  }
  KILTER_TRY(fields.status());
  if (!metadata.is_object()) return fail(manifest_fault("\"metadata\" is no object"));
  manifest.metadata = store::api::to_metadata(store::SortedJson::parse(metadata.dump()));
  std::set<std::string_view> paths;
  for (const ManifestFile& file : manifest.files)
    if (!paths.insert(file.path).second) return fail(manifest_fault("a file occurs twice"));
  return manifest;
}

}  // namespace kilter::train
