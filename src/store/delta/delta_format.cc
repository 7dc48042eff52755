#include "store/delta/delta_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/text.h"
#include "base/try.h"
#include "io/safe_path.h"

namespace kilter::store {
namespace {

constexpr std::string_view kManifestKeys[] = {"base", "tensors", "removed", "metadata", "files"};
constexpr std::string_view kManifestTensorKeys[] = {"name", "dtype", "shape", "same"};
constexpr std::string_view kManifestFileKeys[] = {"path", "bytes"};
constexpr std::size_t kDimensionsMax = 64;

tl::unexpected<Error> malformed_manifest(std::string what) {
  return fail(ErrorCode::kMalformed, "the delta's manifest " + std::move(what));
}

class ManifestParser {
 public:
  Result<DeltaManifest> parse(const Json& json) {
    KILTER_TRY(check_keys(json, kManifestKeys, "it"));
    if (!json.contains("tensors")) return malformed_manifest("lists no tensors");
    KILTER_ASSIGN(out_.base, text_of(json.value("base", Json("")), "base"));
    KILTER_TRY(each(json, "tensors", [this](const Json& one) { return add_tensor(one); }));
    KILTER_TRY(each(json, "removed", [this](const Json& one) -> Status {
      KILTER_ASSIGN(out_.removed.emplace_back(), text_of(one, "removed"));
      return {};
    }));
    KILTER_TRY(each(json, "files", [this](const Json& one) { return add_file(one); }));
    KILTER_TRY(add_metadata(json));
    return std::move(out_);
  }

 private:
  static Status check_keys(const Json& object, std::span<const std::string_view> known,
                           std::string_view what) {
    if (!object.is_object()) return malformed_manifest(fmt::format("has {} as no object", what));
    for (const auto& [key, value] : object.items())
      if (std::ranges::find(known, key) == known.end())
        return malformed_manifest(fmt::format("has an unknown key '{}'", escape_text(key, 80)));
    return {};
  }
  static Result<std::string> text_of(const Json& value, std::string_view what) {
    if (!value.is_string())
      return malformed_manifest(fmt::format("has a {} that is no text", what));
    return value.get<std::string>();
  }
  template <typename Use>
  static Status each(const Json& json, const char* key, Use use) {
    if (!json.contains(key)) return {};
    if (!json[key].is_array())
      return malformed_manifest(fmt::format("has {} that are no list", key));
    for (const Json& one : json[key]) KILTER_TRY(use(one));
    return {};
  }

  Status add_tensor(const Json& one) {
    KILTER_TRY(check_keys(one, kManifestTensorKeys, "a tensor"));
    DeltaManifest::Tensor tensor;
    KILTER_ASSIGN(tensor.name, text_of(one.value("name", Json()), "tensor's name"));
    KILTER_ASSIGN(const std::string dtype, text_of(one.value("dtype", Json()), "dtype"));
    const auto known = dtype_from_name(dtype);
    if (!known)
      return malformed_manifest(fmt::format("names no dtype: {}", escape_text(dtype, 40)));
    tensor.dtype = *known;
    const Json shape = one.value("shape", Json());
    if (!shape.is_array() || shape.size() > kDimensionsMax)
      return malformed_manifest(fmt::format("has no shape of {}", escape_text(tensor.name, 200)));
    for (const Json& extent : shape) {
      if (!extent.is_number_unsigned() || extent.get<std::uint64_t>() > INT64_MAX)
        return malformed_manifest(fmt::format("has no shape of {}", escape_text(tensor.name, 200)));
      tensor.shape.push_back(extent.get<std::int64_t>());
    }
    if (const Json same = one.value("same", Json(false)); same.is_boolean())
      tensor.same = same.get<bool>();
    else
      return malformed_manifest("has a same that is neither true nor false");
    if (!names_.insert(tensor.name).second)
      return malformed_manifest(fmt::format("names {} twice", escape_text(tensor.name, 200)));
    out_.tensors.push_back(std::move(tensor));
    return {};
  }

  Status add_file(const Json& one) {
    KILTER_TRY(check_keys(one, kManifestFileKeys, "a file"));
    DeltaManifest::File file;
    KILTER_ASSIGN(file.path, text_of(one.value("path", Json()), "file's path"));
    KILTER_TRY(io::check_relative_name(file.path));
    const Json bytes = one.value("bytes", Json());
    if (!bytes.is_number_unsigned() || bytes.get<std::uint64_t>() > INT64_MAX)
      return malformed_manifest(fmt::format("has no size of {}", escape_text(file.path, 200)));
    file.bytes = bytes.get<std::uint64_t>();
    if (!paths_.insert(file.path).second)
      return malformed_manifest(fmt::format("names {} twice", escape_text(file.path, 200)));
    out_.files.push_back(std::move(file));
    return {};
  }

  Status add_metadata(const Json& json) {
    if (!json.contains("metadata")) return {};
    if (!json["metadata"].is_object()) return malformed_manifest("has metadata that are no object");
    for (const auto& [key, value] : json["metadata"].items()) {
      KILTER_ASSIGN(std::string text, text_of(value, "metadata"));
      out_.metadata.emplace_back(key, std::move(text));
    }
    return {};
  }

  DeltaManifest out_;
  std::set<std::string> names_, paths_;
};

}  // namespace

std::string write_delta_manifest(const DeltaManifest& manifest) {
  Json tensors = Json::array(), files = Json::array(), metadata = Json::object();
  for (const DeltaManifest::Tensor& tensor : manifest.tensors) {
    Json row = {
        {"name", tensor.name}, {"dtype", dtype_name(tensor.dtype)}, {"shape", tensor.shape}};
    if (tensor.same) row["same"] = true;
    tensors.push_back(std::move(row));
  }
  for (const DeltaManifest::File& file : manifest.files)
    files.push_back({{"path", file.path}, {"bytes", file.bytes}});
  for (const auto& [key, value] : manifest.metadata) metadata[key] = value;
  Json out = {{"base", manifest.base}, {"tensors", std::move(tensors)}};
  out["removed"] = manifest.removed;
  out["metadata"] = std::move(metadata);
  out["files"] = std::move(files);
  return dump_json(out, -1);
}

Result<DeltaManifest> parse_delta_manifest(std::string_view text) {
  KILTER_ASSIGN(const Json json,
                parse_json(text, {.bytes_max = kDeltaManifestBytesMax, .depth_max = 8}));
  return ManifestParser().parse(json);
}

}  // namespace kilter::store
