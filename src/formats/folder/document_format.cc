#include "formats/folder/document_format.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "base/try.h"
#include "formats/file_name.h"
#include "formats/findings.h"
#include "formats/folder/documents.h"

namespace kilter::formats {
namespace {

/// Keys that only files of models have. Sources: transformers' PretrainedConfig and tokenizer
/// files, peft's PeftConfig, diffusers' ConfigMixin, tokenizers' serialization.
constexpr std::array<std::string_view, 12> kTellingKeys = {
    "\"model_type\"",   "\"architectures\"", "\"peft_type\"",
    "\"_class_name\"",  "\"weight_map\"",    "\"tokenizer_class\"",
    "\"added_tokens\"", "\"chat_template\"", "\"_diffusers_version\"",
    "\"bos_token\"",    "\"bos_token_id\"",  "\"transformers_version\""};

/// Fields of a card's front matter. Source: the Hub's documentation of model cards.
constexpr std::array<std::string_view, 7> kCardFields = {
    "\nlicense:",    "\ntags:",     "\nlibrary_name:", "\npipeline_tag:",
    "\nbase_model:", "\nlanguage:", "\ndatasets:"};

template <std::size_t N>
std::string_view first_in(const std::array<std::string_view, N>& list, std::string_view text) {
  const auto at = std::find_if(list.begin(), list.end(), [&](std::string_view word) {
    return text.find(word) != std::string_view::npos;
  });
  return at == list.end() ? std::string_view() : *at;
}

class DocumentFormat final : public Format {
 public:
  std::string_view name() const override { return "document"; }
  std::string_view title() const override { return "text of a model"; }

  Detection detect(const Probe& probe) const override {
    const std::string_view head = as_text(Bytes(probe.head));
    if (probe.is_folder || head.find('\0') != std::string_view::npos) return {};
    const std::size_t first = head.find_first_not_of(" \t\r\n");
    if (first != std::string_view::npos && head[first] == '{') {
      const std::string_view key = first_in(kTellingKeys, head);
      if (!key.empty()) return {30, "a JSON object with " + std::string(key)};
    }
    if (head.starts_with("---\n") && !first_in(kCardFields, head).empty())
      return {30, "Markdown with a model card's front matter"};
    return {};
  }

  Result<CheckpointData> open(const OpenArguments& arguments) const override {
    KILTER_ASSIGN(const std::string text,
                  io::read_text(*arguments.files, arguments.path, kScannedTextBytesMax));
    if (!is_valid_utf8(text))
      return fail(
          Error(ErrorCode::kMalformed, "the text is no valid UTF-8").at_path(arguments.path));
    CheckpointData data;
    data.format = name();
    data.format_detail = "text, no tensors";
    data.root = arguments.path;
    const std::string file = file_name_of(arguments.path);
    data.index.files = {{file, text.size()}};
    data.documents.push_back({file, text});
    return data;
  }

  Status check(const CheckArguments& arguments, std::vector<Finding>* findings) const override {
    std::vector<Finding> all;
    KILTER_TRY(scan(arguments, &all));
    std::copy_if(all.begin(), all.end(), std::back_inserter(*findings),
                 [](const Finding& f) { return f.severity == Severity::kMalformed; });
    return ok();
  }

  Status scan(const CheckArguments& arguments, std::vector<Finding>* findings) const override {
    KILTER_ASSIGN(const std::string text,
                  io::read_text(*arguments.files, arguments.path, kScannedTextBytesMax));
    if (is_valid_utf8(text)) {
      scan_document(arguments.path, text, findings);
      return ok();
    }
    const Fault fault{"document.not-utf8",
                      Error(ErrorCode::kMalformed, "the text is no valid UTF-8")};
    findings->push_back(finding_from(fault, Severity::kMalformed, arguments.path));
    return ok();
  }
};

}  // namespace

const Format& document_format() {
  static const DocumentFormat kFormat;
  return kFormat;
}

}  // namespace kilter::formats
