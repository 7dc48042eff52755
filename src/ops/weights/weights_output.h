// Writes what an operation on weights made: one path for all of them.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kilter/weights.h"

#include "flow/plan.h"
#include "ops/weights/weights_input.h"

namespace kilter::ops {

/// The key of the recipe in safetensors metadata; elsewhere it is the file STEM.recipe.json.
inline constexpr std::string_view kRecipeKey = "kilter.recipe";
inline constexpr std::string_view kRecipeSuffix = ".recipe.json";

/// What goes along with the weights where it is not the base's.
struct Belongings {
  std::vector<std::pair<std::string, std::string>> metadata;  ///< all of it
  std::vector<PlanOutput> files;                              ///< beside weights in a folder
};

struct WeightsJob {
  const WeightsInput* base = nullptr;  ///< metadata and companions are its
  Plan plan;                           ///< contiguous outputs, one a tensor
  std::string recipe;                  ///< JSON; empty: the metadata hold one already
  std::optional<DType> config_dtype;   ///< config.json shall state it
  /// Into a folder: texts by file name, instead of the base's file of that name; empty: no file.
  std::map<std::string, std::string> texts = {};
  /// What config.json shall state as "quantization_config", in JSON; "" takes it out.
  std::optional<std::string> quantization = std::nullopt;
  bool companions = true;     ///< config, tokenizer, … go along; and a recipe, if there is one
  bool keep_metadata = true;  ///< safetensors' __metadata__ goes along
  std::optional<Belongings> belongings = std::nullopt;
  /// How often the inputs are read before the plan runs: for a dry run's estimate.
  unsigned passes_before = 0;
  std::map<std::string, std::string> left_files = {};  ///< companions that stay behind, and why
};

/// Writes the plan (or only lays it out, with dry_run) and fills in the report's target, files,
/// recipe and figures. Errors: as WeightsOptions' operations.
Status write_weights(WeightsJob job, const std::string& target, const WeightsOptions& options,
                     WeightsReport& report);

}  // namespace kilter::ops
