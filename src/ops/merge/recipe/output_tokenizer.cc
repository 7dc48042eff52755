#include "ops/merge/recipe/output_tokenizer.h"

#include <algorithm>

#include "base/text.h"
#include "base/try.h"

namespace kilter::ops {
namespace {

constexpr const char* kTokenizerFile = "tokenizer.json";
constexpr const char* kTokenizerConfig = "tokenizer_config.json";
constexpr const char* kTemplateFile = "chat_template.jinja";

using Texts = std::map<std::string, std::string>;

Result<Json> companion_json(const WeightsInput& input, const char* name) {
  KILTER_ASSIGN(const std::optional<std::string> text, read_companion(input, name));
  if (!text) return Json();
  auto json = parse_json(*text, {.bytes_max = 64ULL << 20, .depth_max = 64});
  if (!json) return fail(std::move(json.error()).at_path(input.address + "/" + name));
  return json;
}

/// All files of another model's tokenizer, instead of the base's.
Status take_tokenizer_of(const RecipeModel& model, const RecipeModel& base, Texts& out) {
  for (const FileEntry& file : base.input.checkpoint.data().index.files)
    if (is_tokenizer_file(file.path)) out[file.path] = "";
  for (const FileEntry& file : model.input.checkpoint.data().index.files) {
    if (!is_tokenizer_file(file.path)) continue;
    KILTER_ASSIGN(std::optional<std::string> text, read_companion(model.input, file.path));
    out[file.path] = std::move(*text);
  }
  return ok();
}

/// Tokens that the tokenizer lacks become added tokens of it.
Status add_entries(const RecipeModel& model, const TokenAlignment& alignment, Texts& out) {
  if (alignment.added.empty()) return ok();
  KILTER_ASSIGN(Json tokenizer, companion_json(model.input, kTokenizerFile));
  for (const Json& entry : alignment.added) tokenizer["added_tokens"].push_back(entry);
  out[kTokenizerFile] = dump_json(tokenizer) + "\n";
  out["added_tokens.json"] = "";  // what older programs read instead, and would now be too little
  KILTER_ASSIGN(Json config, companion_json(model.input, kTokenizerConfig));
  if (!config.is_object() || !config.contains("added_tokens_decoder")) return ok();
  for (Json entry : alignment.added) {
    const std::string id = std::to_string(entry["id"].get<std::uint32_t>());
    entry.erase("id");
    config["added_tokens_decoder"][id] = std::move(entry);
  }
  out[kTokenizerConfig] = dump_json(config) + "\n";
  return ok();
}

/// Of a model: chat_template.jinja, or the one in tokenizer_config.json; empty if there is none.
Result<std::string> template_of(const RecipeModel& model) {
  KILTER_ASSIGN(std::optional<std::string> file, read_companion(model.input, kTemplateFile));
  if (file) return std::move(*file);
  KILTER_ASSIGN(const Json config, companion_json(model.input, kTokenizerConfig));
  if (!config.is_object()) return std::string();
  const Json value = config.value("chat_template", Json());
  return value.is_string() ? value.get<std::string>() : std::string();
}

/// The one that most models have; of several the first.
Result<std::string> most_common_template(const std::vector<RecipeModel>& models) {
  std::vector<std::pair<std::string, int>> counts;
  for (const RecipeModel& model : models) {
    KILTER_ASSIGN(std::string text, template_of(model));
    if (text.empty()) continue;
    const auto found = std::ranges::find(counts, text, &std::pair<std::string, int>::first);
    if (found == counts.end())
      counts.emplace_back(std::move(text), 1);
    else
      ++found->second;
  }
  if (counts.empty()) return std::string();
  return std::ranges::max_element(counts, {}, &std::pair<std::string, int>::second)->first;
}

Result<std::string> wanted_template(const std::string& stated,
                                    const std::vector<RecipeModel>& models) {
  if (stated == "auto") {
    KILTER_ASSIGN(std::string text, most_common_template(models));
    if (text.empty())
      return fail(Error(ErrorCode::kInvalidArgument, "chat_template is auto, and no model has one")
                      .advise("take it out, or state one"));
    return text;
  }
  if (const std::string_view named = named_chat_template(stated); !named.empty())
    return std::string(named);
  if (stated.find('{') != std::string::npos) return stated;
  return fail(Error(ErrorCode::kInvalidArgument,
                    "no chat_template is called '" + escape_text(stated, 60) + "'")
                  .advise("auto, alpaca, chatml, llama3, mistral, or a template in Jinja"));
}

Status set_template(const std::string& text, const RecipeModel& model, Texts& out) {
  out[kTemplateFile] = text;
  out["chat_template.json"] = "";
  Json config;
  if (const auto made = out.find(kTokenizerConfig); made != out.end() && !made->second.empty()) {
    KILTER_ASSIGN(config, parse_json(made->second));
  } else {
    KILTER_ASSIGN(config, companion_json(model.input, kTokenizerConfig));
  }
  if (!config.is_object() || !config.contains("chat_template")) return ok();
  config["chat_template"] = text;
  out[kTokenizerConfig] = dump_json(config) + "\n";
  return ok();
}

}  // namespace

Result<Texts> tokenizer_texts(const MergeRecipe& recipe, const std::vector<RecipeModel>& models,
                              const TokenAlignment* alignment, std::size_t base) {
  Texts out;
  const std::size_t origin = alignment == nullptr ? base : alignment->tokenizer;
  if (origin != base) KILTER_TRY(take_tokenizer_of(models[origin], models[base], out));
  if (alignment != nullptr) KILTER_TRY(add_entries(models[origin], *alignment, out));
  if (recipe.chat_template.empty()) return out;
  KILTER_ASSIGN(const std::string text, wanted_template(recipe.chat_template, models));
  KILTER_TRY(set_template(text, models[origin], out));
  return out;
}

std::string_view named_chat_template(std::string_view name) {
  // The formats as their models' cards describe them.
  if (name == "chatml")
    return "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + "
           "message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
           "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
  if (name == "alpaca")
    return "{% for message in messages %}{% if message['role'] == 'system' %}"
           "{{ message['content'] + '\\n\\n' }}{% elif message['role'] == 'user' %}"
           "{{ '### Instruction:\\n' + message['content'] + '\\n\\n' }}{% else %}"
           "{{ '### Response:\\n' + message['content'] + '\\n\\n' }}{% endif %}{% endfor %}"
           "{% if add_generation_prompt %}{{ '### Response:\\n' }}{% endif %}";
  if (name == "llama3")
    return "{% for message in messages %}{% if loop.first %}{{ bos_token }}{% endif %}"
           "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + "
           "message['content'] | trim + '<|eot_id|>' }}{% endfor %}"
           "{% if add_generation_prompt %}"
           "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}";
  if (name == "mistral")
    return "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'assistant' %}"
           "{{ ' ' + message['content'] | trim + eos_token }}{% else %}"
           "{{ '[INST] ' + message['content'] | trim + ' [/INST]' }}{% endif %}{% endfor %}";
  return {};
}

}  // namespace kilter::ops
