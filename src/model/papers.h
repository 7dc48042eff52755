// The documents that lie beside the weights, each read once: configurations, card, licence.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kilter/checkpoint.h"

#include "model/card.h"

namespace kilter::model {

/// A JSON object as text: ("hidden_size", "4096"), nested keys joined with '.', lists of plain
/// values joined with ", ". Nulls are left out.
struct FlatJson {
  std::string path;
  std::vector<std::pair<std::string, std::string>> values;

  std::optional<std::string_view> find(std::string_view key) const;
};

/// nullopt if `text` is no JSON object. Bounded in entries and length.
std::optional<FlatJson> flatten_json(std::string path, std::string_view text);

/// The last name of a path: "config.json" of "unet/config.json".
std::string_view base_name(std::string_view path);

struct Papers {
  std::vector<FlatJson> configs;  ///< nearest to the root first
  Card card;
  std::string card_path;  ///< empty if there is none
  std::string licence_path, licence_text;
  std::vector<std::string> recipes;  ///< paths of merge recipes

  /// The configuration of that file name that lies nearest to the root; nullptr if none.
  const FlatJson* config(std::string_view file_name) const;
  /// A key of any model configuration (text_config's too), with the path it comes from.
  struct Value {
    std::string_view text;
    std::string_view path;
  };
  std::optional<Value> find(std::string_view key) const;
  /// Only of the configuration at the root: the model's own, not that of one of its parts.
  std::optional<Value> find_at_root(std::string_view key) const;
};

Papers read_papers(const CheckpointData& data);

/// The value of a metadata key; nullopt if not stated.
std::optional<std::string_view> metadata(const CheckpointData& data, std::string_view key);

bool contains_no_case(std::string_view text, std::string_view lower_part);

}  // namespace kilter::model
