// YAML as recipes use it, within limits of our own.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kilter/error.h"

namespace kilter::ops {

enum class YamlKind : std::uint8_t { kNull, kScalar, kList, kMap };

struct YamlEntry;

/// A value and where it stands. Aliases are copies of what they name; `<<` is merged.
struct YamlNode {
  YamlKind kind = YamlKind::kNull;
  std::string text;                    ///< of a scalar
  bool quoted = false;                 ///< the scalar is a string, whatever it looks like
  std::uint32_t line = 0, column = 0;  ///< from 1
  std::vector<YamlNode> items;         ///< of a list
  std::vector<YamlEntry> entries;      ///< of a map, in the text's order; keys differ

  const YamlNode* find(std::string_view key) const;
};
struct YamlEntry {
  std::string key;
  std::uint32_t line = 0, column = 0;
  YamlNode value;
};

struct YamlLimits {
  std::uint64_t bytes_max = 1 << 20;
  std::uint32_t depth_max = 32;
  std::uint32_t nodes_max = 100'000;       ///< after aliases are copied
  std::uint64_t text_bytes_max = 8 << 20;  ///< of all scalars and keys, after aliases are copied
};

/// One document. Errors, with line and column: kMalformed for text that is no YAML, keys that are
/// no scalars or stand twice; kUnsupported for tags that are none of YAML's own and for several
/// documents; kLimitExceeded.
Result<YamlNode> read_yaml(std::string_view text, const YamlLimits& limits = {});

/// Block style, no comments, no aliases: reads back to the same, and is the same for it.
std::string write_yaml(const YamlNode& node);

/// "line 3, column 7: …"
Error yaml_error(ErrorCode code, std::uint32_t line, std::uint32_t column, std::string message);
inline Error yaml_error(const YamlNode& node, std::string message) {
  return yaml_error(ErrorCode::kMalformed, node.line, node.column, std::move(message));
}

}  // namespace kilter::ops
