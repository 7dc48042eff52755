#include "model/papers.h"

#include <algorithm>
#include <array>
#include <deque>

#include <nlohmann/json.hpp>

#include "base/json.h"

namespace kilter::model {
namespace {

constexpr std::size_t kJsonBytesMax = 16 << 20;
constexpr std::size_t kEntriesMax = 4096;
constexpr std::size_t kStatedBytesMax = 2000;
constexpr std::size_t kListItemsMax = 64;
constexpr std::size_t kLicenceBytesMax = 64 << 10;

constexpr std::array<std::string_view, 9> kConfigFiles = {
    "config.json",          "model_index.json",    "adapter_config.json",
    "params.json",          "trainer_state.json",  "scheduler_config.json",
    "quantize_config.json", "training_state.json", "generation_config.json"};

bool is_plain(const Json& value) { return !value.is_object() && !value.is_array(); }

std::string plain_text(const Json& value) {
  std::string text = value.is_string() ? value.get<std::string>() : dump_json(value, -1);
  if (text.size() > kStatedBytesMax) text.resize(kStatedBytesMax);
  return text;
}

std::optional<std::string> list_text(const Json& list) {
  std::string text;
  std::size_t count = 0;
  for (const Json& item : list) {
    if (!is_plain(item) || ++count > kListItemsMax) return std::nullopt;
    if (!text.empty()) text += ", ";
    text += plain_text(item);
  }
  return text;
}

// The last record of transformers' log_history states the loss and the learning rate.
void flatten_last_of(const Json& list, const std::string& name, FlatJson* out) {
  if (list.empty() || !list.back().is_object()) return;
  for (const auto& [key, value] : list.back().items())
    if (is_plain(value) && !value.is_null() && out->values.size() < kEntriesMax)
      out->values.emplace_back(name + ".last." + key, plain_text(value));
}

bool is_recipe(std::string_view name) {
  return name == "mergekit_config.yml" || name == "mergekit_config.yaml" ||
         name == "mergekit_moe_config.yml";
}

bool is_licence(std::string_view name) {
  return name.starts_with("LICENSE") || name.starts_with("LICENCE") || name.starts_with("COPYING");
}

std::size_t depth_of(std::string_view path) {
  return static_cast<std::size_t>(std::count(path.begin(), path.end(), '/'));
}

}  // namespace

std::string_view base_name(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

std::optional<std::string_view> FlatJson::find(std::string_view key) const {
  for (const auto& [name, value] : values)
    if (name == key) return value;
  return std::nullopt;
}

std::optional<FlatJson> flatten_json(std::string path, std::string_view text) {
  if (text.size() > kJsonBytesMax) return std::nullopt;
  const auto parsed = parse_json(text);
  if (!parsed || !parsed->is_object()) return std::nullopt;
  FlatJson out{std::move(path), {}};
  std::deque<std::pair<std::string, const Json*>> waiting{{"", &*parsed}};
  while (!waiting.empty()) {
    const auto [prefix, object] = std::move(waiting.front());
    waiting.pop_front();
    for (const auto& [key, value] : object->items()) {
      if (out.values.size() >= kEntriesMax || waiting.size() >= kEntriesMax) return out;
      std::string name = prefix + key;
      if (name.size() > kStatedBytesMax) continue;
      if (value.is_object()) {
        waiting.emplace_back(name + '.', &value);
      } else if (value.is_array()) {
        if (auto list = list_text(value))
          out.values.emplace_back(std::move(name), std::move(*list));
        else
          flatten_last_of(value, name, &out);
      } else if (!value.is_null()) {
        out.values.emplace_back(std::move(name), plain_text(value));
      }
    }
  }
  return out;
}

const FlatJson* Papers::config(std::string_view file_name) const {
  for (const FlatJson& one : configs)
    if (base_name(one.path) == file_name) return &one;
  return nullptr;
}

std::optional<Papers::Value> Papers::find(std::string_view key) const {
  for (const std::string_view place : {"", "text_config.", "llm_config.", "language_config."}) {
    const std::string name = std::string(place) + std::string(key);
    for (const FlatJson& one : configs) {
      const std::string_view file = base_name(one.path);
      if (file == "trainer_state.json" || file == "generation_config.json") continue;
      if (const auto value = one.find(name)) return Value{*value, one.path};
    }
  }
  if (key != "scheduler_class") return std::nullopt;
  const FlatJson* scheduler = config("scheduler_config.json");
  if (scheduler == nullptr) return std::nullopt;
  const auto value = scheduler->find("_class_name");
  return value ? std::optional(Value{*value, scheduler->path}) : std::nullopt;
}

std::optional<Papers::Value> Papers::find_at_root(std::string_view key) const {
  const auto value = find(key);
  if (!value || depth_of(value->path) > 0) return std::nullopt;
  const std::string_view file = base_name(value->path);
  return file == "config.json" || file == "params.json" ? value : std::nullopt;
}

Papers read_papers(const CheckpointData& data) {
  Papers papers;
  for (const Document& document : data.documents) {
    const std::string_view name = base_name(document.path);
    if (std::find(kConfigFiles.begin(), kConfigFiles.end(), name) != kConfigFiles.end()) {
      if (auto flat = flatten_json(document.path, document.text))
        papers.configs.push_back(std::move(*flat));
    } else if (name == "README.md" && papers.card_path.empty()) {
      papers.card_path = document.path;
      papers.card = read_card(document.text);
    } else if (is_licence(name) && papers.licence_path.empty()) {
      papers.licence_path = document.path;
      papers.licence_text = document.text.substr(0, kLicenceBytesMax);
    } else if (is_recipe(name)) {
      papers.recipes.push_back(document.path);
    }
  }
  for (const FileEntry& file : data.index.files)
    if (is_recipe(base_name(file.path)) &&
        std::find(papers.recipes.begin(), papers.recipes.end(), file.path) == papers.recipes.end())
      papers.recipes.push_back(file.path);
  std::stable_sort(
      papers.configs.begin(), papers.configs.end(),
      [](const FlatJson& a, const FlatJson& b) { return depth_of(a.path) < depth_of(b.path); });
  return papers;
}

std::optional<std::string_view> metadata(const CheckpointData& data, std::string_view key) {
  for (const auto& [name, value] : data.metadata)
    if (name == key) return value;
  return std::nullopt;
}

bool contains_no_case(std::string_view text, std::string_view lower_part) {
  const auto lower = [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  };
  return std::search(text.begin(), text.end(), lower_part.begin(), lower_part.end(),
                     [&](char a, char b) { return lower(a) == lower(b); }) != text.end();
}

}  // namespace kilter::model
