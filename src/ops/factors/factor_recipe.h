// What recipes of adapter extract, resize and combine say. Source: spec/recipe.md.
#pragma once

#include "kilter/adapter_factors.h"

#include "ops/weights/recipe.h"

namespace kilter::ops {

/// The words; what is as in a default FactorOptions is left out, but for rank, dtype and naming.
Json factor_words(const FactorOptions& options);
Json extract_words(const ExtractOptions& options);
Json combine_words(const CombineOptions& options);

/// Errors: kMalformed for words that are no words of it, or of another type.
Status read_factor_words(const Recipe& recipe, FactorOptions& options);
Status read_extract_words(const Recipe& recipe, ExtractOptions& options);
Status read_resize_words(const Recipe& recipe, ResizeOptions& options);
Status read_combine_words(const Recipe& recipe, CombineOptions& options);

std::string_view split_name(FactorSplit split);  ///< "even", "up", "down"
std::optional<FactorSplit> split_from_name(std::string_view name);
std::string_view remainder_name(Remainder remainder);  ///< "leave", "whole", "factors"
std::optional<Remainder> remainder_from_name(std::string_view name);

}  // namespace kilter::ops
