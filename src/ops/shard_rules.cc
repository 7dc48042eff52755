// Plans of `kilter reshard`: which tensors are cut along which dimension.
#include <charconv>

#include <nlohmann/json.hpp>

#include "kilter/reshard.h"

#include "base/json.h"
#include "base/try.h"
#include "io/file_system.h"

namespace kilter {

namespace {

constexpr std::uint64_t kPlanBytesMax = 16ULL << 20;

bool means_whole(std::string_view text) {
  return text == "whole" || text == "replicate" || text == "null" || text == "~";
}

std::optional<std::int64_t> parse_dim(std::string_view text) {
  std::int64_t dim = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), dim);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return dim;
}

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

Error bad_rule(const std::string& where, std::string_view found) {
  return Error(ErrorCode::kMalformed, "the plan's " + where + " is no rule")
      .wanted("GLOB: DIM, where DIM is a number, whole or null", std::string(found));
}

Result<std::vector<ShardRule>> rules_of_json(std::string_view text) {
  KILTER_ASSIGN(const Json json, parse_json(text));
  if (!json.is_object()) return fail(bad_rule("content", json.type_name()));
  std::vector<ShardRule> out;
  for (const auto& [glob, value] : json.items()) {
    const bool whole =
        value.is_null() || (value.is_string() && means_whole(value.get_ref<const std::string&>()));
    if (!whole && !value.is_number_integer())
      return fail(bad_rule("entry \"" + glob + "\"", value.type_name()));
    out.push_back({glob, whole ? std::nullopt : std::optional(value.get<std::int64_t>())});
  }
  return out;
}

/// The text before the colon that ends a key: quotes around it may hold colons.
std::optional<std::pair<std::string_view, std::string_view>> split_line(std::string_view line) {
  if (line.front() == '"' || line.front() == '\'') {
    const auto close = line.find(line.front(), 1);
    if (close == std::string_view::npos) return std::nullopt;
    const std::string_view rest = trim(line.substr(close + 1));
    if (!rest.starts_with(':')) return std::nullopt;
    return std::pair(line.substr(1, close - 1), trim(rest.substr(1)));
  }
  const auto colon = line.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  return std::pair(trim(line.substr(0, colon)), trim(line.substr(colon + 1)));
}

/// The one shape of YAML a plan has: a line for each entry, comments, quotes.
Result<std::vector<ShardRule>> rules_of_lines(std::string_view text) {
  std::vector<ShardRule> out;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const auto end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(text.size(), end + 1));
    if (const auto comment = line.find(" #"); comment != std::string_view::npos)
      line = line.substr(0, comment);
    line = trim(line);
    if (line.empty() || line.front() == '#' || line == "---") continue;
    const auto parts = split_line(line);
    const auto value = parts ? parts->second : std::string_view();
    const auto dim = parse_dim(value);
    if (!parts || parts->first.empty() || (!dim && !means_whole(value)))
      return fail(bad_rule("line " + std::to_string(number), line));
    out.push_back({std::string(parts->first), dim});
  }
  return out;
}

}  // namespace

Result<std::vector<ShardRule>> read_shard_rules(const std::string& path) {
  KILTER_ASSIGN(const std::string text, io::read_text(io::real_file_system(), path, kPlanBytesMax));
  const auto first = text.find_first_not_of(" \t\r\n");
  const bool json = first != std::string::npos && (text[first] == '{' || text[first] == '[');
  auto rules = json ? rules_of_json(text) : rules_of_lines(text);
  if (!rules) return fail(std::move(rules).error().at_path(path));
  if (rules->empty())
    return fail(Error(ErrorCode::kMalformed, "the plan has no rule").at_path(path));
  return rules;
}

}  // namespace kilter
