#include "ops/merge/recipe/model_tokenizer.h"

#include <algorithm>
#include <span>

#include "base/try.h"
#include "flow/source.h"
#include "io/file_system.h"

namespace kilter::ops {
namespace {

constexpr std::uint32_t kTokenIdMax = 1U << 24;

Error bad_tokenizer(const WeightsInput& input, std::string message) {
  Error error(ErrorCode::kMalformed, std::move(message));
  error.path = io::join_path(input.address, "tokenizer.json");
  return error;
}

Result<std::uint32_t> token_id(const WeightsInput& input, const Json& value) {
  if (!value.is_number_integer() || value < 0 || value > kTokenIdMax)
    return fail(bad_tokenizer(input, "a token's id is no number between 0 and 16,777,216"));
  return value.get<std::uint32_t>();
}

Status add_vocabulary(const WeightsInput& input, const Json& vocabulary, ModelTokenizer& out) {
  std::vector<std::pair<std::uint32_t, std::string>> rows;
  if (vocabulary.is_object()) {
    for (const auto& [token, value] : vocabulary.items()) {
      KILTER_ASSIGN(const std::uint32_t id, token_id(input, value));
      rows.emplace_back(id, token);
    }
  } else if (vocabulary.is_array()) {  // Unigram: [["token", score], …]
    for (const Json& pair : vocabulary) {
      if (!pair.is_array() || pair.empty() || !pair[0].is_string())
        return fail(bad_tokenizer(input, "the vocabulary has an entry that is no token"));
      rows.emplace_back(static_cast<std::uint32_t>(rows.size()), pair[0].get<std::string>());
    }
  } else {
    return fail(bad_tokenizer(input, "the tokenizer's model has no vocabulary"));
  }
  std::ranges::sort(rows);
  for (auto& [id, token] : rows) {
    out.ids.emplace(token, id);
    out.plain.push_back(std::move(token));
  }
  return ok();
}

Status add_added_tokens(const WeightsInput& input, const Json& list, ModelTokenizer& out) {
  for (const Json& entry : list) {
    if (!entry.is_object() || !entry.contains("id") || !entry.contains("content") ||
        !entry["content"].is_string())
      return fail(bad_tokenizer(input, "an added token has no id or content"));
    KILTER_ASSIGN(const std::uint32_t id, token_id(input, entry["id"]));
    out.ids.insert_or_assign(entry["content"].get<std::string>(), id);
    out.added.push_back(entry);
  }
  std::ranges::stable_sort(out.added, {},
                           [](const Json& entry) { return entry["id"].get<std::uint32_t>(); });
  return ok();
}

}  // namespace

std::optional<std::uint32_t> ModelTokenizer::find(const std::string& token) const {
  const auto found = ids.find(token);
  return found == ids.end() ? std::nullopt : std::optional(found->second);
}

std::uint32_t ModelTokenizer::rows() const {
  std::uint32_t out = 0;
  for (const auto& [token, id] : ids) out = std::max(out, id + 1);
  return out;
}

Result<std::optional<std::string>> read_companion(const WeightsInput& input,
                                                  std::string_view name) {
  constexpr std::uint64_t kBytesMax = 64ULL << 20;
  const CheckpointData& data = input.checkpoint.data();
  for (std::uint32_t i = 0; i < data.index.files.size(); ++i) {
    const FileEntry& file = data.index.files[i];
    if (file.path != name) continue;
    if (file.bytes > kBytesMax) {
      Error error(ErrorCode::kLimitExceeded, "the file is too large for what it should be");
      error.path = io::join_path(input.address, std::string(name));
      return fail(std::move(error));
    }
    std::string text(file.bytes, '\0');
    KILTER_TRY(input.checkpoint.source()->read_file(
        i, 0, std::as_writable_bytes(std::span(text.data(), text.size()))));
    return std::optional(std::move(text));
  }
  return std::optional<std::string>();
}

Result<ModelTokenizer> read_model_tokenizer(const WeightsInput& input) {
  KILTER_ASSIGN(const std::optional<std::string> text, read_companion(input, "tokenizer.json"));
  if (!text) {
    Error error(ErrorCode::kUnsupported, "the model has no tokenizer.json, and no other is read");
    error.path = input.address;
    error.hint = "write one with transformers' AutoTokenizer.from_pretrained(…).save_pretrained(…)";
    return fail(std::move(error));
  }
  auto parsed = parse_json(*text, {.bytes_max = 64ULL << 20, .depth_max = 64});
  if (!parsed) return fail(std::move(parsed.error()).at_path(bad_tokenizer(input, "").path));
  const Json& json = *parsed;
  if (!json.is_object() || !json.contains("model") || !json["model"].is_object())
    return fail(bad_tokenizer(input, "this is no tokenizer"));
  ModelTokenizer out;
  KILTER_TRY(add_vocabulary(input, json["model"].value("vocab", Json()), out));
  if (json.contains("added_tokens") && json["added_tokens"].is_array())
    KILTER_TRY(add_added_tokens(input, json["added_tokens"], out));
  return out;
}

bool is_tokenizer_file(std::string_view name) {
  constexpr std::string_view kNames[] = {"tokenizer.json",
                                         "tokenizer_config.json",
                                         "special_tokens_map.json",
                                         "added_tokens.json",
                                         "vocab.json",
                                         "merges.txt",
                                         "vocab.txt",
                                         "tokenizer.model",
                                         "spiece.model",
                                         "chat_template.jinja",
                                         "chat_template.json",
                                         "generation_config.json",
                                         "sentencepiece.bpe.model"};
  return std::ranges::find(kNames, name) != std::end(kNames);
}

}  // namespace kilter::ops
