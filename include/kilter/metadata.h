// What is known about a checkpoint, by key: step, loss, whatever else. Owned by the floor `store`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace kilter {

/// An array or object, as JSON.
struct JsonText {
  std::string text;
  bool operator==(const JsonText&) const = default;
};

/// One value: null, true or false, a whole number, another number, text, or JSON. Numbers keep
/// their kind. Numbers that JSON does not have (NaN, infinity) are saved as text.
using MetaValue = std::variant<std::nullptr_t, bool, std::int64_t, double, std::string, JsonText>;

/// Flat, with dots for grouping: "step", "loss", "eval.mmlu". Source: spec/metadata.md.
///
///   kilter::Metadata metadata{{"step", 1200}, {"loss", 1.93}, {"model.name", "ada"}};
using Metadata = std::map<std::string, MetaValue, std::less<>>;

/// A value as people type it: what is JSON ("3", "2e-5", "true", "[1,2]") is that, the rest is
/// text.
MetaValue parse_meta_value(std::string_view text);
/// "1200", "1.93", "true", "null", the text itself, the JSON.
std::string meta_value_text(const MetaValue& value);
/// nullopt if there is no such key or its value is no number.
std::optional<double> meta_number(const Metadata& metadata, std::string_view key);

}  // namespace kilter
