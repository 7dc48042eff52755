#include "kilter/metadata.h"

#include <fmt/format.h>

#include <cmath>

#include "base/json.h"
#include "base/try.h"
#include "store/api/translate.h"
#include "store/save.h"
#include "store/write/describe.h"

namespace kilter {
namespace {

MetaValue value_of_json(const store::SortedJson& json) {
  if (json.is_null()) return nullptr;
  if (json.is_boolean()) return json.get<bool>();
  if (json.is_string()) return json.get<std::string>();
  if (json.is_number_unsigned() && json.get<std::uint64_t>() > std::uint64_t{INT64_MAX})
    return json.get<double>();
  if (json.is_number_integer()) return json.get<std::int64_t>();
  if (json.is_number()) return json.get<double>();
  return JsonText{json.dump()};
}

Result<store::SortedJson> json_of_text(const std::string& key, const JsonText& value) {
  auto json = parse_json(value.text);
  if (json && json->is_structured()) return store::SortedJson(*json);
  return fail(Error(ErrorCode::kInvalidArgument, "the metadata is no JSON array or object")
                  .at_path(key)
                  .wanted("JSON, as in [1,2]", value.text.substr(0, 100)));
}

Result<store::SortedJson> json_of_value(const std::string& key, const MetaValue& value) {
  if (const auto* json = std::get_if<JsonText>(&value)) return json_of_text(key, *json);
  if (const auto* number = std::get_if<double>(&value);
      number != nullptr && !std::isfinite(*number))
    return store::SortedJson(fmt::format("{}", *number));
  return std::visit(
      [](const auto& v) -> store::SortedJson {
        if constexpr (std::is_same_v<std::decay_t<decltype(v)>, JsonText>)
          return nullptr;
        else
          return v;
      },
      value);
}

}  // namespace

MetaValue parse_meta_value(std::string_view text) {
  return value_of_json(store::metadata_value(text));
}

std::string meta_value_text(const MetaValue& value) {
  if (std::holds_alternative<std::nullptr_t>(value)) return "null";
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const auto* integer = std::get_if<std::int64_t>(&value)) return std::to_string(*integer);
  if (const auto* real = std::get_if<double>(&value)) return fmt::format("{}", *real);
  if (const auto* json = std::get_if<JsonText>(&value)) return json->text;
  return std::get<std::string>(value);
}

std::optional<double> meta_number(const Metadata& metadata, std::string_view key) {
  const auto found = metadata.find(key);
  if (found == metadata.end()) return std::nullopt;
  if (const auto* integer = std::get_if<std::int64_t>(&found->second))
    return static_cast<double>(*integer);
  if (const auto* real = std::get_if<double>(&found->second)) return *real;
  return std::nullopt;
}

namespace store::api {

Result<SortedJson> to_json(const kilter::Metadata& metadata) {
  SortedJson out = SortedJson::object();
  for (const auto& [key, value] : metadata) {
    if (key.empty()) return fail(ErrorCode::kInvalidArgument, "metadata needs a key");
    KILTER_ASSIGN(out[key], json_of_value(key, value));
  }
  return out;
}

Result<SortedJson> to_json(const std::vector<kilter::Lineage>& lineage) {
  SortedJson out = SortedJson::array();
  for (const kilter::Lineage& from : lineage) {
    KILTER_ASSIGN(const SortedJson parameters, to_json(from.parameters));
    out.push_back(lineage_entry(from.operation, parameters, from.inputs));
  }
  return out;
}

kilter::Metadata to_metadata(const SortedJson& json) {
  kilter::Metadata out;
  if (!json.is_object()) return out;
  for (const auto& [key, value] : json.items()) out.emplace(key, value_of_json(value));
  return out;
}

std::vector<kilter::Lineage> to_lineage(const SortedJson& json) {
  std::vector<kilter::Lineage> out;
  for (const SortedJson& entry : json) {
    if (!entry.is_object()) continue;
    kilter::Lineage from;
    if (const auto it = entry.find("operation"); it != entry.end() && it->is_string())
      from.operation = it->get<std::string>();
    if (const auto it = entry.find("parameters"); it != entry.end())
      from.parameters = to_metadata(*it);
    if (const auto it = entry.find("inputs"); it != entry.end() && it->is_array())
      for (const SortedJson& input : *it)
        from.inputs.push_back(input.is_string() ? input.get<std::string>() : input.dump());
    out.push_back(std::move(from));
  }
  return out;
}

}  // namespace store::api
}  // namespace kilter
