#include "formats/folder/documents.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/text.h"
#include "formats/file_name.h"
#include "formats/folder/harmless.h"
#include "formats/folder/scan_patterns.h"
#include "formats/tensorflow/tensorflow_format.h"
#include "io/safe_path.h"

namespace kilter::formats {
namespace {

constexpr std::size_t kFindingsMax = 50;  // of one text

std::string extension_of(std::string_view path) {
  const std::string name = ascii_lower(file_name_of(path));
  const std::size_t dot = name.rfind('.');
  return dot == std::string::npos ? "" : name.substr(dot);
}

class Judge {
 public:
  Judge(std::string_view path, std::vector<Finding>* findings) : path_(path), findings_(findings) {}

  Finding* add(std::string rule, Severity severity, std::string message, std::string evidence) {
    if (++count_ > kFindingsMax) return nullptr;
    Finding& finding = findings_->emplace_back();
    finding.rule = std::move(rule);
    finding.severity = severity;
    finding.path = path_;
    finding.message = std::move(message);
    finding.evidence = std::move(evidence);
    return &finding;
  }

 private:
  std::string path_;
  std::vector<Finding>* findings_;
  std::size_t count_ = 0;
};

/// The text around a match, for evidence.
std::string around(std::string_view text, std::size_t at, std::size_t length) {
  const std::size_t begin = at < 40 ? 0 : at - 40;
  return escape_text(text.substr(begin, at - begin + length + 60), 200);
}

/// JSON as Python writes it: NaN and Infinity outside of strings become null.
std::string without_nan(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (in_string && text[i] == '\\' && i + 1 < text.size()) {
      out += text[i++];
    } else if (text[i] == '"') {
      in_string = !in_string;
    } else if (!in_string) {
      bool replaced = false;
      for (const std::string_view word : {"-Infinity", "Infinity", "NaN"}) {
        if (!text.substr(i).starts_with(word)) continue;
        out += "null";
        i += word.size() - 1;
        replaced = true;
        break;
      }
      if (replaced) continue;
    }
    out += text[i];
  }
  return out;
}

void judge_weight_map(const Json& map, Judge* judge) {
  if (!map.is_object()) return;
  for (const auto& [tensor, file] : map.items()) {
    if (!file.is_string()) continue;
    const auto& name = file.get_ref<const std::string&>();
    if (const auto status = io::check_relative_name(name); !status)
      judge->add("document.path-traversal", Severity::kDangerous,
                 "the shard index names a file outside of its folder: " + status.error().message,
                 fmt::format("\"{}\": \"{}\"", escape_text(tensor, 100), escape_text(name, 200)));
  }
}

void judge_auto_map(const Json& value, Judge* judge) {
  Finding* finding =
      judge->add("document.auto-map", Severity::kSuspicious,
                 "the configuration asks loaders to run Python code that comes with the model",
                 escape_text("auto_map: " + dump_json(value, -1), 300));
  if (finding == nullptr) return;
  finding->reachable = "transformers imports these modules if trust_remote_code is set";
  finding->loaders = {"transformers (trust_remote_code=True)"};
}

void judge_member(std::string_view path, const std::string& key, const Json& value, Judge* judge,
                  std::vector<Finding>* findings) {
  if (key == "auto_map" && !value.empty()) judge_auto_map(value, judge);
  if (key == "weight_map") judge_weight_map(value, judge);
  if (key == "trust_remote_code" && value.is_boolean() && value.get<bool>())
    judge->add("document.trust-remote-code", Severity::kSuspicious,
               "the configuration asks for trust_remote_code", "trust_remote_code: true");
  const bool is_template =
      key == "chat_template" || key.ends_with("_template") || key == "template";
  if (is_template && value.is_string())
    scan_template(path, key, value.get_ref<const std::string&>(), findings);
}

/// Every object of the tree, without recursion.
void judge_json(std::string_view path, const Json& root, Judge* judge,
                std::vector<Finding>* findings) {
  std::vector<const Json*> pending = {&root};
  while (!pending.empty()) {
    const Json* value = pending.back();
    pending.pop_back();
    if (value->is_object()) {
      for (const auto& [key, item] : value->items()) {
        judge_member(path, key, item, judge, findings);
        if (item.is_structured() && key != "weight_map") pending.push_back(&item);
      }
    } else if (value->is_array()) {
      for (const Json& item : *value)
        if (item.is_structured()) pending.push_back(&item);
    }
  }
}

void scan_json(std::string_view path, std::string_view text, std::vector<Finding>* findings) {
  Judge judge(path, findings);
  JsonLimits limits;
  limits.bytes_max = kScannedTextBytesMax;
  auto json = parse_json(text, limits);
  if (!json) json = parse_json(without_nan(text), limits);
  if (json) return judge_json(path, *json, &judge, findings);
  Finding* finding =
      judge.add("document.malformed-json", Severity::kMalformed,
                "the file is no valid JSON: " + json.error().message, json.error().found);
  if (finding != nullptr) finding->offset_bytes = json.error().offset_bytes;
  scan_template(path, "text", text, findings);  // a broken end hides nothing before it
}

void scan_python(std::string_view path, std::string_view text, std::vector<Finding>* findings) {
  Judge judge(path, findings);
  Finding* code = judge.add("document.python-code", Severity::kSuspicious,
                            "Python code that comes with the model", format_bytes(text.size()));
  code->reachable = "runs when a loader imports it (auto_map with trust_remote_code, or by hand)";
  code->loaders = {"transformers (trust_remote_code=True)", "diffusers (custom_pipeline)"};
  for (const TextPattern& pattern : python_patterns()) {
    std::size_t at = text.find(pattern.text);
    for (; at != std::string_view::npos; at = text.find(pattern.text, at + 1)) {
      const std::size_t line = at == 0 ? 0 : text.rfind('\n', at - 1) + 1;  // npos + 1 = 0
      if (text.substr(line, at - line).find('#') == std::string_view::npos) break;
    }
    if (at == std::string_view::npos) continue;
    Finding* finding = judge.add("document.python-call", pattern.severity,
                                 fmt::format("Python code that {}", pattern.why),
                                 around(text, at, pattern.text.size()));
    if (finding != nullptr) finding->offset_bytes = at;
  }
}

void scan_yaml(std::string_view path, std::string_view text, std::vector<Finding>* findings) {
  Judge judge(path, findings);
  const std::size_t at = text.find("!!python/");
  if (at == std::string_view::npos) return;
  Finding* finding =
      judge.add("document.yaml-python-tag", Severity::kDangerous,
                "the YAML makes an unsafe loader build any Python object", around(text, at, 9));
  finding->offset_bytes = at;
  finding->loaders = {"yaml.unsafe_load", "yaml.load (PyYAML before 6)"};
}

bool has_control_bytes(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte == 0x7f || (byte < 0x20 && (byte < '\t' || byte > '\r'));
  });
}

/// Binaries that loaders read as plain data, or not at all.
bool scan_harmless(io::FileSystem& files, const std::string& path, const Probe& probe,
                   std::vector<Finding>* findings) {
  const auto image = plain_image(probe);
  if (image)
    Judge(path, findings)
        .add("file.image", Severity::kNote, "an image; no model loader reads it",
             std::string(*image));
  if (!image && prefix_of_data(path)) {
    const auto diagnosis = diagnose(files, probe);
    if (diagnosis && diagnosis->kind == "tensorflow-data") return true;
  }
  if (image || probe.head.empty() || probe.head[0] != std::byte{0x0a}) return image.has_value();
  const auto content = io::read_text(files, path, kScannedTextBytesMax);
  return content && is_sentencepiece_model(as_bytes(*content));
}

}  // namespace

bool is_document_name(std::string_view path) {
  constexpr std::array<std::string_view, 7> kExtensions = {".json", ".md",   ".txt",  ".yaml",
                                                           ".yml",  ".toml", ".jinja"};
  constexpr std::array<std::string_view, 5> kStems = {"readme", "license", "licence", "notice",
                                                      "copying"};
  const std::string extension = extension_of(path);
  if (std::find(kExtensions.begin(), kExtensions.end(), extension) != kExtensions.end())
    return true;
  const std::string name = ascii_lower(file_name_of(path));
  return std::any_of(kStems.begin(), kStems.end(),
                     [&](std::string_view stem) { return name.starts_with(stem); });
}

void scan_template(std::string_view path, std::string_view where, std::string_view text,
                   std::vector<Finding>* findings) {
  Judge judge(path, findings);
  for (const TextPattern& pattern : template_patterns()) {
    const std::size_t at = text.find(pattern.text);
    if (at == std::string_view::npos) continue;
    Finding* finding =
        judge.add("document.template-injection", pattern.severity,
                  fmt::format("the template ({}) {}", escape_text(where, 60), pattern.why),
                  around(text, at, pattern.text.size()));
    if (finding == nullptr) return;
    finding->reachable = "loaders render chat templates with Jinja2, some of them unsandboxed";
    finding->loaders = {"llama-cpp-python before 0.2.72 (CVE-2024-34359)"};
  }
}

void scan_document(std::string_view path, std::string_view text, std::vector<Finding>* findings) {
  const std::string extension = extension_of(path);
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  const char opener = first == std::string_view::npos ? '\0' : text[first];
  if (extension == ".py" || extension == ".pyw") return scan_python(path, text, findings);
  if (extension == ".jinja" || extension == ".jinja2" || extension == ".j2")
    return scan_template(path, "file", text, findings);
  if (extension == ".json" ||
      (opener == '{' && extension != ".txt" && extension != ".md" && extension != ".jsonl"))
    return scan_json(path, text, findings);
  if (text.starts_with("#!")) {
    Judge(path, findings)
        .add("document.script", Severity::kSuspicious, "a script that the system would run",
             escape_text(text.substr(0, text.find('\n')), 100));
    return;
  }
  // Cards carry YAML in their front matter; other texts are read by nobody but people.
  scan_yaml(path, text, findings);
}

bool scan_document_file(io::FileSystem& files, const std::string& path, const Probe& probe,
                        std::vector<Finding>* findings) {
  if (probe.is_folder || probe.bytes == 0 || probe.bytes > kScannedTextBytesMax) return false;
  if (scan_harmless(files, path, probe, findings)) return true;
  const std::string_view head = as_text(Bytes(probe.head));
  if (head.find('\0') != std::string_view::npos) return false;
  if (const auto diagnosis = diagnose(files, probe); diagnosis && diagnosis->kind != "text")
    if (diagnosis->kind != "json-error" || !is_document_name(path)) return false;
  const auto text = io::read_text(files, path, kScannedTextBytesMax);
  if (!text || text->find('\0') != std::string::npos || !is_valid_utf8(*text)) return false;
  // Small binaries can be valid UTF-8 by chance; only names that promise text get the benefit.
  if (!is_document_name(path) && has_control_bytes(*text)) return false;
  scan_document(path, *text, findings);
  return true;
}

}  // namespace kilter::formats
