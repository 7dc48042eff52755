#include "model/signature.h"

#include <charconv>

#include "model/names.h"

namespace kilter::model {
namespace {

bool parse_number(std::string_view text, std::int64_t* out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *out);
  return error == std::errc() && end == text.data() + text.size();
}

bool parse_dim(std::string_view text, DimRule* out) {
  if (text == "*") return true;
  if (text == "...") {
    out->kind = DimRule::Kind::kRest;
    return true;
  }
  if (text.empty()) return false;
  if (text[0] >= '0' && text[0] <= '9' && text.find('*') == std::string_view::npos) {
    out->kind = DimRule::Kind::kChoice;
    for (const std::string_view part : split(text, '|'))
      if (!parse_number(part, &out->choices.emplace_back())) return false;
    return true;
  }
  out->kind = DimRule::Kind::kName;
  const std::size_t star = text.find('*');
  if (star != std::string_view::npos) {
    if (!parse_number(text.substr(0, star), &out->factor) || out->factor < 1) return false;
    text.remove_prefix(star + 1);
  }
  const std::size_t colon = text.find(':');
  out->name = text.substr(0, colon);
  if (colon != std::string_view::npos)
    for (const std::string_view part : split(text.substr(colon + 1), '|'))
      if (!parse_number(part, &out->choices.emplace_back())) return false;
  return !out->name.empty();
}

bool parse_shape(std::string_view text, KeyRule* key) {
  if (text.size() < 2 || text.front() != '[' || text.back() != ']') return false;
  key->has_shape = true;
  for (const std::string_view part : split(text.substr(1, text.size() - 2), ','))
    if (!parse_dim(part, &key->shape.emplace_back())) return false;
  return true;
}

// Folds a name of the tables: its wildcards {layers} become {n} like the numbers of real names.
bool fold_pattern(KeyRule* key) {
  std::string plain;
  std::string_view rest = key->text;
  while (!rest.empty()) {
    const std::size_t open = rest.find('{');
    if (open == std::string_view::npos) break;
    const std::size_t close = rest.find('}', open);
    if (close == std::string_view::npos) return false;
    plain.append(rest.substr(0, open)).append("{n}");
    key->counts.push_back(rest.substr(open + 1, close - open - 1));
    rest.remove_prefix(close + 1);
  }
  plain.append(rest);
  fold_name(plain, &key->form);
  key->literal = key->form != plain;
  return !key->form.empty();
}

bool parse_key(std::string_view line, KeyRule* key) {
  const auto words = split(line, ' ');
  if (words.size() < 2 || words.size() > 3 || words[0].size() != 1) return false;
  switch (words[0][0]) {
    case '!':
      key->need = Need::kRequired;
      break;
    case '+':
      key->need = Need::kSupport;
      break;
    case '-':
      key->need = Need::kForbidden;
      break;
    case '?':
      key->need = Need::kOptional;
      break;
    default:
      return false;
  }
  key->text = words[1];
  if (key->text.front() == '^') {
    key->from_parent = true;
    key->text.remove_prefix(1);
  }
  if (!fold_pattern(key)) return false;
  return words.size() == 2 || parse_shape(words[2], key);
}

}  // namespace

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const std::size_t end = text.find(separator);
    const std::string_view part = text.substr(0, end);
    if (!part.empty()) parts.push_back(part);
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return parts;
}

bool parse_signature(const Signature& row, ParsedSignature* out, std::string* problem) {
  out->row = &row;
  out->covers = split(row.covers, ' ');
  bool anchored = false;
  for (std::string_view line : split(row.keys, '\n')) {
    while (!line.empty() && line.front() == ' ') line.remove_prefix(1);
    if (line.empty()) continue;
    KeyRule key;
    if (!parse_key(line, &key)) {
      *problem = std::string(row.id) + ": cannot read the line: " + std::string(line);
      return false;
    }
    if (!anchored && key.need == Need::kRequired) {
      if (key.from_parent) break;
      anchored = true;
      out->anchor = out->keys.size();
    }
    out->keys.push_back(std::move(key));
  }
  if (!anchored) *problem = std::string(row.id) + ": the first required key must be an anchor";
  return anchored;
}

const std::vector<ParsedSignature>& signatures() {
  static const std::vector<ParsedSignature> parsed = [] {
    std::vector<ParsedSignature> all;
    std::string problem;
    for (const auto table : signature_tables()) {
      for (const Signature& row : table) {
        ParsedSignature one;
        if (parse_signature(row, &one, &problem)) all.push_back(std::move(one));
      }
    }
    return all;
  }();
  return parsed;
}

}  // namespace kilter::model
