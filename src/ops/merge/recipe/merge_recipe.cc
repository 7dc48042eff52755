#include "ops/merge/recipe/merge_recipe.h"

#include <algorithm>
#include <charconv>
#include <span>

#include "base/text.h"
#include "base/try.h"
#include "formats/nearest_names.h"
#include "ops/merge/recipe/recipe_parameters.h"

namespace kilter::ops {
namespace {

using Words = std::span<const std::string_view>;

constexpr std::string_view kRecipeKeys[] = {
    "merge_method",  "models", "slices",    "modules",   "base_model",
    "parameters",    "dtype",  "out_dtype", "tokenizer", "tokenizer_source",
    "chat_template", "name",   "compat",    "seed"};
constexpr std::string_view kModuleKeys[] = {"models", "slices", "parameters"};
constexpr std::string_view kModelKeys[] = {"model", "parameters"};
constexpr std::string_view kSliceKeys[] = {"sources", "base_model", "residual_weight",
                                           "parameters"};
constexpr std::string_view kSourceKeys[] = {"model", "layer_range", "parameters"};
constexpr std::string_view kChoiceKeys[] = {"filter", "value"};
constexpr std::string_view kReferenceKeys[] = {"model", "lora", "override_architecture"};
constexpr std::string_view kPathKeys[] = {"path", "revision"};
constexpr std::string_view kTokenizerKeys[] = {"source", "tokens", "pad_to_multiple_of"};
constexpr std::string_view kTokenKeys[] = {"source", "force"};
constexpr std::string_view kTokenSourceKeys[] = {"kind", "model", "token", "token_id"};
constexpr std::string_view kMethodWords[] = {"linear",
                                             "slerp",
                                             "nuslerp",
                                             "multislerp",
                                             "karcher",
                                             "task_arithmetic",
                                             "ties",
                                             "dare_linear",
                                             "dare_ties",
                                             "breadcrumbs",
                                             "breadcrumbs_ties",
                                             "della",
                                             "della_linear",
                                             "model_stock",
                                             "nearswap",
                                             "sce",
                                             "arcee_fusion",
                                             "passthrough",
                                             "ram",
                                             "ramplus_tl"};

Error recipe_error(std::uint32_t line, std::uint32_t column, std::string message) {
  return yaml_error(ErrorCode::kInvalidArgument, line, column, std::move(message));
}
Error recipe_error(const YamlNode& node, std::string message) {
  return recipe_error(node.line, node.column, std::move(message));
}

std::string_view nearest_word(std::string_view word, Words words) {
  constexpr std::size_t kFar = 4;
  std::string_view best;
  std::size_t best_distance = kFar + 1;
  for (const std::string_view one : words) {
    const std::size_t distance = formats::edit_distance(one, word, kFar);
    if (distance < best_distance && 2 * distance <= one.size())
      best = one, best_distance = distance;
  }
  return best;
}

/// The nearest word that is known, else all of them.
std::string meant_word(std::string_view word, Words words) {
  const std::string_view near = nearest_word(word, words);
  if (!near.empty()) return "did you mean '" + std::string(near) + "'?";
  std::string out = "one of";
  for (const std::string_view one : words) out += (out == "one of" ? " " : ", ") + std::string(one);
  return out;
}

bool is_set(const YamlNode* node) {
  if (node == nullptr || node->kind == YamlKind::kNull) return false;
  const bool holds = node->kind == YamlKind::kList || node->kind == YamlKind::kMap;
  return !holds || !node->items.empty() || !node->entries.empty();
}

Status check_map(const YamlNode& node, std::string_view what, Words keys) {
  if (node.kind != YamlKind::kMap)
    return fail(recipe_error(node, std::string(what) + " must be a map"));
  for (const YamlEntry& entry : node.entries) {
    if (std::ranges::find(keys, entry.key) != keys.end()) continue;
    return fail(
        recipe_error(entry.line, entry.column,
                     std::string(what) + " knows no key '" + escape_text(entry.key, 60) + "'")
            .advise(meant_word(entry.key, keys)));
  }
  return ok();
}

Status check_list(const YamlNode& node, std::string_view what) {
  constexpr std::size_t kMost = 4096;
  if (node.kind != YamlKind::kList)
    return fail(recipe_error(node, std::string(what) + " must be a list"));
  if (node.items.size() > kMost)
    return fail(yaml_error(ErrorCode::kLimitExceeded, node.line, node.column,
                           std::string(what) + " has more than 4096 entries"));
  return ok();
}

Result<std::string> recipe_text(const YamlNode& node, std::string_view what) {
  if (node.kind != YamlKind::kScalar)
    return fail(recipe_error(node, std::string(what) + " must be text"));
  return node.text;
}

Result<std::int64_t> recipe_whole(const YamlNode& node, std::string_view what, std::int64_t least,
                                  std::int64_t most) {
  std::int64_t value = 0;
  const char* const end = node.text.data() + node.text.size();
  const auto [stopped, error] = std::from_chars(node.text.data(), end, value);
  if (node.kind != YamlKind::kScalar || error != std::errc() || stopped != end || value < least ||
      value > most)
    return fail(recipe_error(node, std::string(what) + " must be a whole number")
                    .wanted(std::to_string(least) + " to " + std::to_string(most),
                            escape_text(node.text, 60)));
  return value;
}

Result<bool> recipe_flag(const YamlNode& node, std::string_view what) {
  const std::string word = ascii_lower(node.text);
  if (word == "true" || word == "yes" || word == "on") return true;
  if (word == "false" || word == "no" || word == "off") return false;
  return fail(recipe_error(node, std::string(what) + " must be true or false"));
}

Result<std::string> model_path(const YamlNode& node) {
  if (node.kind == YamlKind::kScalar) return node.text;
  KILTER_TRY(check_map(node, "a model's path", kPathKeys));
  const YamlNode* const path = node.find("path");
  if (path == nullptr) return fail(recipe_error(node, "the model has no path"));
  KILTER_ASSIGN(std::string name, recipe_text(*path, "a model's path"));
  const YamlNode* const revision = node.find("revision");
  if (is_set(revision)) name += "@" + revision->text;
  return name;
}

Result<ModelName> parse_model(const YamlNode& node) {
  ModelName out{"", {node.line, node.column}};
  if (node.kind == YamlKind::kScalar) {
    out.name = node.text;  // "model+adapter" is found out where models are looked for
  } else {
    KILTER_TRY(check_map(node, "a model", kReferenceKeys));
    const YamlNode* const inner = node.find("model");
    if (inner == nullptr) return fail(recipe_error(node, "the model has no name"));
    KILTER_ASSIGN(out.name, model_path(*inner));
    if (const YamlNode* const lora = node.find("lora"); is_set(lora)) {
      KILTER_ASSIGN(const std::string name, model_path(*lora));
      return fail(adapter_error({name, {lora->line, lora->column}}));
    }
  }
  if (out.name.empty()) return fail(recipe_error(node, "a model's name is empty"));
  return out;
}

Result<ParameterChoice> parse_choice(const Parameter& parameter, const YamlNode& node) {
  ParameterChoice choice;
  const YamlNode* value = &node;
  if (node.kind == YamlKind::kMap) {
    KILTER_TRY(check_map(node, "a value of '" + parameter.name + "'", kChoiceKeys));
    if (const YamlNode* const filter = node.find("filter"); is_set(filter)) {
      KILTER_ASSIGN(choice.filter, recipe_text(*filter, "a filter"));
    }
    value = node.find("value");
    if (value == nullptr)
      return fail(recipe_error(node, "a choice of '" + parameter.name + "' has no value"));
  }
  if (value->kind == YamlKind::kList)
    choice.values = value->items;
  else
    choice.values = {*value};
  const bool scalars = std::ranges::all_of(
      choice.values, [](const YamlNode& one) { return one.kind == YamlKind::kScalar; });
  if (choice.values.empty() || !scalars)
    return fail(recipe_error(*value, "'" + parameter.name + "' has no value that is a number")
                    .advise("a number, a list of numbers that is spread over the layers, or a "
                            "list of {filter, value}"));
  return choice;
}

Result<Parameter> parse_parameter(const YamlEntry& entry) {
  Parameter out{entry.key, {entry.line, entry.column}, {}};
  if (!is_parameter_name(entry.key)) {
    const std::string near = nearest_parameter(entry.key);
    return fail(recipe_error(entry.line, entry.column,
                             "no method has a parameter '" + escape_text(entry.key, 60) + "'")
                    .advise(near.empty() ? "docs/merge-recipes.md lists them"
                                         : "did you mean '" + near + "'?"));
  }
  const YamlNode& value = entry.value;
  const bool choices = value.kind == YamlKind::kList && !value.items.empty() &&
                       value.items.front().kind == YamlKind::kMap;
  if (!choices) {
    KILTER_ASSIGN(ParameterChoice choice, parse_choice(out, value));
    out.choices.push_back(std::move(choice));
    return out;
  }
  KILTER_TRY(check_list(value, "'" + out.name + "'"));
  for (const YamlNode& item : value.items) {
    if (item.kind != YamlKind::kMap)
      return fail(recipe_error(item, "'" + out.name + "' mixes plain values and {filter, value}"));
    KILTER_ASSIGN(ParameterChoice choice, parse_choice(out, item));
    out.choices.push_back(std::move(choice));
  }
  return out;
}

Result<Parameters> parse_parameters(const YamlNode& owner) {
  Parameters out;
  const YamlNode* const node = owner.find("parameters");
  if (!is_set(node)) return out;
  if (node->kind != YamlKind::kMap) return fail(recipe_error(*node, "parameters must be a map"));
  for (const YamlEntry& entry : node->entries) {
    KILTER_ASSIGN(Parameter parameter, parse_parameter(entry));
    out.push_back(std::move(parameter));
  }
  return out;
}

Result<LayerRange> parse_range(const YamlNode& node) {
  constexpr std::int64_t kMost = 100'000;
  if (node.kind != YamlKind::kList || node.items.size() != 2)
    return fail(recipe_error(node, "layer_range must be two whole numbers: [first, end]"));
  LayerRange out;
  KILTER_ASSIGN(out.first, recipe_whole(node.items[0], "a layer", 0, kMost));
  KILTER_ASSIGN(out.end, recipe_whole(node.items[1], "a layer", 0, kMost));
  if (out.end <= out.first)
    return fail(recipe_error(node, "layer_range has no layers: its end is not counted"));
  return out;
}

Result<RecipeSource> parse_source(const YamlNode& node, bool whole) {
  RecipeSource out;
  KILTER_TRY(check_map(node, whole ? "an entry of models" : "a source",
                       whole ? Words(kModelKeys) : Words(kSourceKeys)));
  const YamlNode* const model = node.find("model");
  if (model == nullptr) return fail(recipe_error(node, "the entry names no model"));
  KILTER_ASSIGN(out.model, parse_model(*model));
  KILTER_ASSIGN(out.parameters, parse_parameters(node));
  if (whole) return out;
  const YamlNode* const range = node.find("layer_range");
  if (range == nullptr) return fail(recipe_error(node, "the source has no layer_range"));
  KILTER_ASSIGN(out.layers, parse_range(*range));
  return out;
}

Status check_sources(const RecipeSlice& slice) {
  for (std::size_t i = 0; i < slice.sources.size(); ++i) {
    const RecipeSource& one = slice.sources[i];
    for (std::size_t k = 0; k < i; ++k)
      if (slice.sources[k].model == one.model)
        return fail(recipe_error(
            one.model.place.line, one.model.place.column,
            "the model '" + escape_text(one.model.name) + "' stands twice in one merge"));
    if (!one.layers) continue;
    const LayerRange& first = *slice.sources.front().layers;
    if (one.layers->end - one.layers->first == first.end - first.first) continue;
    return fail(recipe_error(one.model.place.line, one.model.place.column,
                             "the sources of a slice must have as many layers")
                    .wanted(std::to_string(first.end - first.first),
                            std::to_string(one.layers->end - one.layers->first)));
  }
  return ok();
}

Result<RecipeSlice> parse_slice(const YamlNode& node) {
  RecipeSlice out;
  out.place = {node.line, node.column};
  KILTER_TRY(check_map(node, "a slice", kSliceKeys));
  if (const YamlNode* const residual = node.find("residual_weight"); is_set(residual))
    return fail(yaml_error(ErrorCode::kUnsupported, residual->line, residual->column,
                           "residual_weight has no effect in mergekit and none here")
                    .advise("take it out"));
  const YamlNode* const sources = node.find("sources");
  if (!is_set(sources)) return fail(recipe_error(node, "the slice has no sources"));
  KILTER_TRY(check_list(*sources, "sources"));
  for (const YamlNode& item : sources->items) {
    KILTER_ASSIGN(RecipeSource source, parse_source(item, false));
    out.sources.push_back(std::move(source));
  }
  if (const YamlNode* const base = node.find("base_model"); is_set(base)) {
    KILTER_ASSIGN(out.base, parse_model(*base));
  }
  KILTER_ASSIGN(out.parameters, parse_parameters(node));
  KILTER_TRY(check_sources(out));
  return out;
}

Result<RecipeModule> parse_module(const YamlNode& node, std::string name) {
  RecipeModule out;
  out.name = std::move(name);
  out.place = {node.line, node.column};
  const YamlNode *const models = node.find("models"), *const slices = node.find("slices");
  if (is_set(models) == is_set(slices))
    return fail(recipe_error(node, is_set(models) ? "models and slices exclude each other"
                                                  : "neither models nor slices are given"));
  out.whole_models = is_set(models);
  const YamlNode& list = out.whole_models ? *models : *slices;
  KILTER_TRY(check_list(list, out.whole_models ? "models" : "slices"));
  if (out.whole_models) out.slices.emplace_back().place = {list.line, list.column};
  for (const YamlNode& item : list.items) {
    if (out.whole_models) {
      KILTER_ASSIGN(RecipeSource source, parse_source(item, true));
      out.slices.front().sources.push_back(std::move(source));
    } else {
      KILTER_ASSIGN(RecipeSlice slice, parse_slice(item));
      out.slices.push_back(std::move(slice));
    }
  }
  if (out.whole_models) KILTER_TRY(check_sources(out.slices.front()));
  return out;
}

Status parse_modules(const YamlNode& root, MergeRecipe& recipe) {
  const YamlNode* const modules = root.find("modules");
  if (!is_set(modules)) {
    KILTER_ASSIGN(RecipeModule module, parse_module(root, "default"));
    recipe.modules.push_back(std::move(module));
    return ok();
  }
  if (is_set(root.find("models")) || is_set(root.find("slices")))
    return fail(recipe_error(*modules, "modules exclude models and slices beside them"));
  if (modules->kind != YamlKind::kMap)
    return fail(recipe_error(*modules, "modules must be a map of names"));
  for (const YamlEntry& entry : modules->entries) {
    KILTER_TRY(check_map(entry.value, "a module", kModuleKeys));
    KILTER_ASSIGN(RecipeModule module, parse_module(entry.value, entry.key));
    KILTER_ASSIGN(module.parameters, parse_parameters(entry.value));
    recipe.modules.push_back(std::move(module));
  }
  return ok();
}

Result<std::optional<DType>> parse_recipe_dtype(const YamlNode& root, std::string_view key) {
  const YamlNode* const node = root.find(key);
  if (!is_set(node)) return std::optional<DType>();
  KILTER_ASSIGN(std::string name, recipe_text(*node, key));
  if (name.starts_with("torch.")) name.erase(0, 6);
  constexpr std::string_view kKnown[] = {"float16", "bfloat16", "float32", "float64"};
  const std::optional<DType> torch = dtype_from_torch(name), own = dtype_from_name(name);
  const std::optional<DType> dtype = torch ? torch : own;
  if (dtype && (*dtype == DType::kF16 || *dtype == DType::kBF16 || *dtype == DType::kF32 ||
                *dtype == DType::kF64))
    return dtype;
  return fail(recipe_error(*node, std::string(key) + " '" + escape_text(name, 60) +
                                      "' is none that weights can be merged in")
                  .advise(meant_word(name, kKnown)));
}

Status parse_token_source(const YamlNode& node, TokenRow& row) {
  const YamlNode* const kind = node.kind == YamlKind::kMap ? node.find("kind") : nullptr;
  if (kind == nullptr) {
    row.kind = TokenRow::Kind::kModel;
    KILTER_ASSIGN(row.model, parse_model(node));
    return ok();
  }
  KILTER_TRY(check_map(node, "a token's source", kTokenSourceKeys));
  if (kind->text == "zero") {
    row.kind = TokenRow::Kind::kZero;
    return ok();
  }
  if (kind->text != "model_token")
    return fail(recipe_error(*kind, "a token's source is of no kind that is known")
                    .wanted("zero or model_token", escape_text(kind->text, 60)));
  row.kind = TokenRow::Kind::kModelToken;
  const YamlNode *const model = node.find("model"), *const token = node.find("token"),
                        *const id = node.find("token_id");
  if (model == nullptr) return fail(recipe_error(node, "the token's source names no model"));
  KILTER_ASSIGN(row.model, parse_model(*model));
  if (is_set(token) == is_set(id))
    return fail(recipe_error(node, "give one of token and token_id"));
  if (is_set(token)) {
    KILTER_ASSIGN(row.model_token, recipe_text(*token, "token"));
  } else {
    KILTER_ASSIGN(row.model_token_id, recipe_whole(*id, "token_id", 0, INT32_MAX));
  }
  return ok();
}

Result<TokenRow> parse_token(const YamlEntry& entry) {
  TokenRow row;
  row.token = entry.key;
  row.place = {entry.line, entry.column};
  if (!is_set(&entry.value)) return row;
  KILTER_TRY(check_map(entry.value, "a token", kTokenKeys));
  if (const YamlNode* const source = entry.value.find("source"); is_set(source))
    KILTER_TRY(parse_token_source(*source, row));
  if (const YamlNode* const force = entry.value.find("force"); is_set(force)) {
    KILTER_ASSIGN(row.force, recipe_flag(*force, "force"));
  }
  return row;
}

Status parse_tokenizer_source(const YamlNode& node, RecipeTokenizer& out) {
  if (node.kind == YamlKind::kScalar && node.text == "union") {
    out.source = RecipeTokenizer::Source::kUnion;
  } else if (node.kind == YamlKind::kScalar && node.text == "base") {
    out.source = RecipeTokenizer::Source::kBase;
  } else {
    out.source = RecipeTokenizer::Source::kModel;
    // Of older recipes: "model:NAME".
    YamlNode plain = node;
    if (plain.text.starts_with("model:")) plain.text.erase(0, 6);
    KILTER_ASSIGN(out.model, parse_model(plain));
  }
  return ok();
}

Status parse_recipe_tokenizer(const YamlNode& root, MergeRecipe& recipe) {
  const YamlNode *const full = root.find("tokenizer"), *const brief = root.find("tokenizer_source");
  if (is_set(full) && is_set(brief))
    return fail(recipe_error(*full, "tokenizer and tokenizer_source exclude each other"));
  RecipeTokenizer out;
  if (is_set(brief)) {
    out.place = {brief->line, brief->column};
    KILTER_TRY(parse_tokenizer_source(*brief, out));
    recipe.tokenizer = std::move(out);
  }
  if (!is_set(full)) return ok();
  out.place = {full->line, full->column};
  KILTER_TRY(check_map(*full, "tokenizer", kTokenizerKeys));
  if (const YamlNode* const source = full->find("source"); is_set(source))
    KILTER_TRY(parse_tokenizer_source(*source, out));
  if (const YamlNode* const pad = full->find("pad_to_multiple_of"); is_set(pad)) {
    constexpr std::int64_t kMost = 1 << 20;
    KILTER_ASSIGN(const std::int64_t multiple, recipe_whole(*pad, "pad_to_multiple_of", 1, kMost));
    out.pad_to_multiple_of = static_cast<std::uint32_t>(multiple);
  }
  if (const YamlNode* const tokens = full->find("tokens"); is_set(tokens)) {
    if (tokens->kind != YamlKind::kMap)
      return fail(recipe_error(*tokens, "tokens must be a map of tokens"));
    for (const YamlEntry& entry : tokens->entries) {
      KILTER_ASSIGN(TokenRow row, parse_token(entry));
      out.tokens.push_back(std::move(row));
    }
  }
  recipe.tokenizer = std::move(out);
  return ok();
}

Status parse_own_keys(const YamlNode& root, MergeRecipe& recipe) {
  if (const YamlNode* const compat = root.find("compat"); is_set(compat)) {
    if (compat->text != "mergekit" && compat->text != "paper")
      return fail(recipe_error(*compat, "compat is neither mergekit nor paper"));
    recipe.compat = compat->text == "paper" ? MergeCompat::kPaper : MergeCompat::kMergekit;
  }
  if (const YamlNode* const seed = root.find("seed"); is_set(seed)) {
    KILTER_ASSIGN(const std::int64_t value, recipe_whole(*seed, "seed", 0, INT64_MAX));
    recipe.seed = static_cast<std::uint64_t>(value);
  }
  return ok();
}

Status parse_method(const YamlNode& root, MergeRecipe& recipe) {
  const YamlNode* const node = root.find("merge_method");
  if (!is_set(node)) return fail(recipe_error(root, "the recipe has no merge_method"));
  KILTER_ASSIGN(const std::string name, recipe_text(*node, "merge_method"));
  const std::optional<MergeMethod> method = merge_method_from_name(name);
  if (!method)
    return fail(recipe_error(*node, "no merge_method is called '" + escape_text(name, 60) + "'")
                    .advise(meant_word(name, kMethodWords)));
  recipe.method = *method;
  return ok();
}

}  // namespace

Error adapter_error(const ModelName& adapter) {
  return yaml_error(
             ErrorCode::kUnsupported, adapter.place.line, adapter.place.column,
             "'" + escape_text(adapter.name) + "' names an adapter, which a recipe cannot apply")
      .advise("apply it first with `kilter adapter apply`, and name the result here");
}

std::vector<ModelName> MergeRecipe::models() const {
  std::vector<ModelName> out;
  const auto add = [&out](const ModelName& model) {
    if (std::ranges::find(out, model) == out.end()) out.push_back(model);
  };
  for (const RecipeModule& module : modules)
    for (const RecipeSlice& slice : module.slices) {
      for (const RecipeSource& source : slice.sources) add(source.model);
      if (slice.base) add(*slice.base);
    }
  if (base) add(*base);
  if (!tokenizer) return out;
  if (tokenizer->source == RecipeTokenizer::Source::kModel) add(tokenizer->model);
  for (const TokenRow& row : tokenizer->tokens)
    if (row.kind == TokenRow::Kind::kModel || row.kind == TokenRow::Kind::kModelToken)
      add(row.model);
  return out;
}

Result<MergeRecipe> parse_merge_recipe(std::string_view text) {
  KILTER_ASSIGN(const YamlNode root, read_yaml(text));
  MergeRecipe recipe;
  if (root.kind == YamlKind::kNull) return fail(ErrorCode::kMalformed, "the recipe is empty");
  KILTER_TRY(check_map(root, "a recipe", kRecipeKeys));
  KILTER_TRY(parse_method(root, recipe));
  KILTER_TRY(parse_modules(root, recipe));
  if (const YamlNode* const base = root.find("base_model"); is_set(base)) {
    KILTER_ASSIGN(recipe.base, parse_model(*base));
  }
  KILTER_ASSIGN(recipe.parameters, parse_parameters(root));
  KILTER_ASSIGN(recipe.dtype, parse_recipe_dtype(root, "dtype"));
  KILTER_ASSIGN(recipe.out_dtype, parse_recipe_dtype(root, "out_dtype"));
  KILTER_TRY(parse_recipe_tokenizer(root, recipe));
  if (const YamlNode* const chat = root.find("chat_template"); is_set(chat)) {
    KILTER_ASSIGN(recipe.chat_template, recipe_text(*chat, "chat_template"));
  }
  KILTER_TRY(parse_own_keys(root, recipe));
  recipe.text = write_yaml(root);
  if (recipe.text.size() > YamlLimits().bytes_max)  // it shall be read again by `reproduce`
    return fail(ErrorCode::kLimitExceeded, "the recipe is too long once its aliases are copied");
  return recipe;
}

}  // namespace kilter::ops
