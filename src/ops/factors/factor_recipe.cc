#include "ops/factors/factor_recipe.h"

#include <cmath>

#include "base/try.h"

namespace kilter::ops {
namespace {

struct SplitRow {
  FactorSplit split;
  std::string_view name;
};
constexpr SplitRow kSplits[] = {
    {FactorSplit::kEven, "even"}, {FactorSplit::kUp, "up"}, {FactorSplit::kDown, "down"}};

struct RemainderRow {
  Remainder remainder;
  std::string_view name;
};
constexpr RemainderRow kRemainders[] = {
    {Remainder::kLeave, "leave"}, {Remainder::kWhole, "whole"}, {Remainder::kFactors, "factors"}};

Error bad_word(const char* key) {
  return Error(ErrorCode::kMalformed, "the recipe's " + std::string(key) + " is none of its words");
}

/// A count that a double holds exactly.
Result<std::uint64_t> own_count(const Recipe& recipe, const char* key, std::uint64_t otherwise) {
  KILTER_ASSIGN(const double value, own_number(recipe, key, static_cast<double>(otherwise)));
  if (!(value >= 0) || value > 0x1p53 || value != std::floor(value)) return fail(bad_word(key));
  return static_cast<std::uint64_t>(value);
}

Status read_share(const Recipe& recipe, const char* key, std::optional<double>& share) {
  KILTER_ASSIGN(const double value, own_number(recipe, key, 0));
  if (value != 0) share = value;
  return ok();
}

Status read_remainder(const Recipe& recipe, const char* key, Remainder& remainder) {
  KILTER_ASSIGN(const std::string name, own_text(recipe, key, "leave"));
  const auto known = remainder_from_name(name);
  if (!known) return fail(bad_word(key));
  remainder = *known;
  return ok();
}

}  // namespace

std::string_view split_name(FactorSplit split) {
  for (const SplitRow& row : kSplits)
    if (row.split == split) return row.name;
  return "";
}

std::optional<FactorSplit> split_from_name(std::string_view name) {
  for (const SplitRow& row : kSplits)
    if (row.name == name) return row.split;
  return std::nullopt;
}

std::string_view remainder_name(Remainder remainder) {
  for (const RemainderRow& row : kRemainders)
    if (row.remainder == remainder) return row.name;
  return "";
}

std::optional<Remainder> remainder_from_name(std::string_view name) {
  for (const RemainderRow& row : kRemainders)
    if (row.name == name) return row.remainder;
  return std::nullopt;
}

Json factor_words(const FactorOptions& options) {
  const RankRule& rule = options.rank;
  Json out = {{"rank", rule.rank}};
  if (options.dtype) out["dtype"] = dtype_name(*options.dtype);
  if (!options.naming.empty()) out["naming"] = options.naming;
  if (rule.energy) out["energy"] = *rule.energy;
  if (rule.cumulative) out["cumulative"] = *rule.cumulative;
  if (rule.value_min > 0) out["value_min"] = rule.value_min;
  if (rule.value_ratio > 0) out["value_ratio"] = rule.value_ratio;
  if (options.split != FactorSplit::kEven) out["split"] = split_name(options.split);
  return out;
}

Json extract_words(const ExtractOptions& options) {
  Json out = factor_words(options);
  if (!options.modules.empty()) out["modules"] = options.modules;
  if (!options.exclude.empty()) out["exclude"] = options.exclude;
  if (options.embeddings != Remainder::kLeave)
    out["embeddings"] = remainder_name(options.embeddings);
  if (options.others != Remainder::kLeave) out["others"] = remainder_name(options.others);
  out["iterations"] = options.iterations;
  out["seed"] = options.seed;
  return out;
}

Status read_factor_words(const Recipe& recipe, FactorOptions& options) {
  RankRule& rule = options.rank;
  KILTER_ASSIGN(const std::uint64_t rank, own_count(recipe, "rank", rule.rank));
  rule.rank = rank;
  KILTER_TRY(read_share(recipe, "energy", rule.energy));
  KILTER_TRY(read_share(recipe, "cumulative", rule.cumulative));
  KILTER_ASSIGN(rule.value_min, own_number(recipe, "value_min", 0));
  KILTER_ASSIGN(rule.value_ratio, own_number(recipe, "value_ratio", 0));
  KILTER_ASSIGN(options.dtype, own_dtype(recipe, "dtype"));
  KILTER_ASSIGN(options.naming, own_text(recipe, "naming"));
  KILTER_ASSIGN(const std::string split, own_text(recipe, "split", "even"));
  const auto known = split_from_name(split);
  if (!known) return fail(bad_word("split"));
  options.split = *known;
  return ok();
}

Json combine_words(const CombineOptions& options) {
  Json out = factor_words(options);
  out["method"] = combine_method_name(options.method);
  out["weights"] = options.weights;
  out["density"] = options.density;
  out["seed"] = options.seed;
  return out;
}

Status read_combine_words(const Recipe& recipe, CombineOptions& options) {
  KILTER_TRY(
      check_own_keys(recipe, {"rank", "energy", "cumulative", "value_min", "value_ratio", "dtype",
                              "naming", "split", "method", "weights", "density", "seed"}));
  KILTER_TRY(read_factor_words(recipe, options));
  KILTER_ASSIGN(const std::string method, own_text(recipe, "method"));
  const auto known = combine_method_from_name(method);
  if (!known) return fail(bad_word("method"));
  options.method = *known;
  KILTER_ASSIGN(options.weights, own_numbers(recipe, "weights"));
  KILTER_ASSIGN(options.density, own_number(recipe, "density", options.density));
  KILTER_ASSIGN(options.seed, own_count(recipe, "seed", 0));
  return ok();
}

Status read_resize_words(const Recipe& recipe, ResizeOptions& options) {
  KILTER_TRY(check_own_keys(recipe, {"rank", "energy", "cumulative", "value_min", "value_ratio",
                                     "dtype", "naming", "split"}));
  return read_factor_words(recipe, options);
}

Status read_extract_words(const Recipe& recipe, ExtractOptions& options) {
  KILTER_TRY(check_own_keys(
      recipe, {"rank", "energy", "cumulative", "value_min", "value_ratio", "dtype", "naming",
               "split", "modules", "exclude", "embeddings", "others", "iterations", "seed"}));
  KILTER_TRY(read_factor_words(recipe, options));
  KILTER_ASSIGN(options.modules, own_texts(recipe, "modules"));
  KILTER_ASSIGN(options.exclude, own_texts(recipe, "exclude"));
  KILTER_TRY(read_remainder(recipe, "embeddings", options.embeddings));
  KILTER_TRY(read_remainder(recipe, "others", options.others));
  KILTER_ASSIGN(const std::uint64_t iterations, own_count(recipe, "iterations", 2));
  if (iterations > 20) return fail(bad_word("iterations"));
  options.iterations = static_cast<int>(iterations);
  KILTER_ASSIGN(options.seed, own_count(recipe, "seed", 0));
  return ok();
}

}  // namespace kilter::ops
