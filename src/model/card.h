// The front matter of a model card: the few lines of YAML between `---` at the top of README.md.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace kilter::model {

/// Top-level keys with their values: one for `key: value`, several for lists.
struct Card {
  std::vector<std::pair<std::string, std::vector<std::string>>> fields;

  /// Values of `key`; nullptr if the card does not have it.
  const std::vector<std::string>* find(std::string_view key) const;
  /// The first value; empty if none.
  std::string_view first(std::string_view key) const;
  bool has(std::string_view key, std::string_view value) const;
};

/// Reads `key: value`, lists of `- item` and `[a, b]`, quotes and comments. Nested maps and block
/// text are skipped, anchors and tags are plain text: nothing expands. Bounded; never fails, an
/// unreadable card is an empty one.
Card read_card(std::string_view text);

}  // namespace kilter::model
