#include "ops/merge/recipe/token_alignment.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "base/try.h"

namespace kilter::ops {
namespace {

class Aligner {
 public:
  Aligner(const RecipeTokenizer& recipe, const std::vector<RecipeModel>& models,
          const std::vector<std::size_t>& merged, std::optional<std::size_t> base)
      : recipe_(recipe), models_(models), merged_(merged), base_(base) {
    for (const TokenRow& row : recipe.tokens) stated_.emplace(row.token, &row);
  }

  Result<TokenAlignment> run() {
    for (const RecipeModel& model : models_) {
      KILTER_ASSIGN(ModelTokenizer tokenizer, read_model_tokenizer(model.input));
      tokenizers_.push_back(std::move(tokenizer));
    }
    choose_tokenizer();
    begin_with(tokenizers_[out_.tokenizer]);
    if (recipe_.source == RecipeTokenizer::Source::kUnion)
      for (const std::size_t model : merged_) add_tokens_of(tokenizers_[model]);
    for (const TokenRow& row : recipe_.tokens) add_token(row.token, false, nullptr);
    const auto count = static_cast<std::uint32_t>(out_.tokens.size());
    const std::uint32_t unit = recipe_.pad_to_multiple_of;
    out_.rows = (count + unit - 1) / unit * unit;
    out_.origins.resize(models_.size());
    for (const std::size_t model : merged_) KILTER_TRY(find_rows(model));
    return std::move(out_);
  }

 private:
  std::size_t number_of(const ModelName& name) const {
    return static_cast<std::size_t>(std::ranges::find(models_, name, &RecipeModel::name) -
                                    models_.begin());
  }

  /// Without a base_model it is the first model's.
  void choose_tokenizer() {
    const bool stated = recipe_.source == RecipeTokenizer::Source::kModel;
    out_.tokenizer = stated ? number_of(recipe_.model) : base_.value_or(merged_.front());
  }

  void begin_with(const ModelTokenizer& tokenizer) {
    out_.tokens.resize(tokenizer.rows());
    for (const auto& [token, id] : tokenizer.ids) {
      out_.tokens[id] = token;
      numbers_.emplace(token, id);
    }
  }

  /// Plain tokens by id, then added ones by id, so that the order is always the same.
  void add_tokens_of(const ModelTokenizer& tokenizer) {
    for (const std::string& token : tokenizer.plain) add_token(token, false, nullptr);
    for (const Json& entry : tokenizer.added)
      add_token(entry["content"].get<std::string>(), entry.value("special", false), &entry);
  }

  void add_token(const std::string& token, bool special, const Json* pattern) {
    const auto id = static_cast<std::uint32_t>(out_.tokens.size());
    if (!numbers_.emplace(token, id).second) return;
    out_.tokens.push_back(token);
    Json entry = pattern != nullptr
                     ? *pattern
                     : Json{{"id", 0},           {"content", token}, {"single_word", false},
                            {"lstrip", false},   {"rstrip", false},  {"normalized", true},
                            {"special", special}};
    entry["id"] = id;
    out_.added.push_back(std::move(entry));
  }

  const TokenRow* stated(const std::string& token) const {
    const auto found = stated_.find(token);
    return found == stated_.end() ? nullptr : found->second;
  }

  Status find_rows(std::size_t model) {
    std::vector<RowOrigin>& rows = out_.origins[model];
    for (const std::string& token : out_.tokens) {
      KILTER_ASSIGN(const RowOrigin origin, find_row(model, token));
      rows.push_back(origin);
    }
    rows.resize(out_.rows, {RowOrigin::Kind::kPadding, 0, 0});
    return ok();
  }

  Result<RowOrigin> find_row(std::size_t model, const std::string& token) {
    if (token.empty() && !numbers_.contains(token)) return RowOrigin{RowOrigin::Kind::kZero, 0, 0};
    const TokenRow* const row = stated(token);
    const std::optional<std::uint32_t> own = tokenizers_[model].find(token);
    if (own && (row == nullptr || !row->force)) return row_of(model, *own);
    if (row != nullptr && row->kind != TokenRow::Kind::kDefault) return stated_row(*row);
    if (row != nullptr && row->force)
      return fail(at(*row, "is forced, and has no source to force it from"));
    return default_row(token, row);
  }

  static RowOrigin row_of(std::size_t model, std::uint32_t row) {
    return {RowOrigin::Kind::kRow, static_cast<std::uint32_t>(model), row};
  }

  static Error at(const TokenRow& row, const std::string& what) {
    return yaml_error(ErrorCode::kInvalidArgument, row.place.line, row.place.column,
                      "the token '" + escape_text(row.token) + "' " + what);
  }

  Result<RowOrigin> stated_row(const TokenRow& row) const {
    if (row.kind == TokenRow::Kind::kZero) return RowOrigin{RowOrigin::Kind::kZero, 0, 0};
    const std::size_t model = number_of(row.model);
    const bool by_id = row.model_token_id.has_value();
    if (by_id) return row_of(model, static_cast<std::uint32_t>(*row.model_token_id));
    const std::string& wanted =
        row.kind == TokenRow::Kind::kModelToken ? row.model_token : row.token;
    const auto id = tokenizers_[model].find(wanted);
    if (!id)
      return fail(at(row, "has a source that lacks it")
                      .wanted("the token '" + escape_text(wanted) + "'",
                              "none in " + models_[model].input.address));
    return row_of(model, *id);
  }

  /// The base's row, else the one there is, else the average of those there are.
  Result<RowOrigin> default_row(const std::string& token, const TokenRow* row) {
    if (base_)
      if (const auto id = tokenizers_[*base_].find(token)) return row_of(*base_, *id);
    std::vector<std::pair<std::uint32_t, std::uint32_t>> rows;
    for (const std::size_t model : merged_)
      if (const auto id = tokenizers_[model].find(token))
        rows.emplace_back(static_cast<std::uint32_t>(model), *id);
    if (rows.size() == 1) return row_of(rows[0].first, rows[0].second);
    if (rows.empty()) {
      if (row != nullptr) return fail(at(*row, "is in no model, and has no source"));
      return fail(yaml_error(ErrorCode::kInvalidArgument, recipe_.place.line, recipe_.place.column,
                             "the token '" + escape_text(token) +
                                 "' is in none of the models "
                                 "that are merged")
                      .advise("give it a source under `tokenizer: {tokens: …}`"));
    }
    const auto found = averages_.find(token);
    const auto number =
        found != averages_.end() ? found->second : static_cast<std::uint32_t>(out_.averages.size());
    if (found == averages_.end()) {
      averages_.emplace(token, number);
      out_.averages.push_back(std::move(rows));
    }
    return RowOrigin{RowOrigin::Kind::kAverage, 0, number};
  }

  const RecipeTokenizer& recipe_;
  const std::vector<RecipeModel>& models_;
  const std::vector<std::size_t>& merged_;
  std::optional<std::size_t> base_;
  std::vector<ModelTokenizer> tokenizers_;  // by model
  std::unordered_map<std::string, const TokenRow*> stated_;
  std::unordered_map<std::string, std::uint32_t> numbers_, averages_;
  TokenAlignment out_;
};

}  // namespace

Result<TokenAlignment> align_tokens(const RecipeTokenizer& recipe,
                                    const std::vector<RecipeModel>& models,
                                    const std::vector<std::size_t>& merged,
                                    std::optional<std::size_t> base) {
  return Aligner(recipe, models, merged, base).run();
}

}  // namespace kilter::ops
