#include "model/variant.h"

#include <charconv>
#include <optional>

namespace kilter::model {
namespace {

struct Condition {
  std::string_view subject;
  char op = 0;  // '=', '>', '<', '~', or ':' for has: and lacks:
  std::string_view value;
};

Condition read_condition(std::string_view text) {
  for (const std::string_view word : {"has:", "lacks:"})
    if (text.starts_with(word))
      return {text.substr(0, word.size() - 1), ':', text.substr(word.size())};
  const std::size_t at = text.find_first_of("=<>~");
  if (at == std::string_view::npos || at == 0) return {};
  return {text.substr(0, at), text[at], text.substr(at + 1)};
}

bool is_one_of(std::string_view text, std::string_view alternatives) {
  for (const std::string_view one : split(alternatives, '|'))
    if (one == text) return true;
  return false;
}

bool compare_text(std::string_view text, const Condition& condition) {
  if (condition.op == '~') return contains_no_case(text, condition.value);
  return condition.op == '=' && is_one_of(text, condition.value);
}

bool compare_number(std::int64_t number, const Condition& condition) {
  if (condition.op == '=') return is_one_of(std::to_string(number), condition.value);
  std::int64_t limit = 0;
  const char* end = condition.value.data() + condition.value.size();
  if (std::from_chars(condition.value.data(), end, limit).ptr != end) return false;
  return condition.op == '>' ? number > limit : number < limit;
}

}  // namespace

bool condition_is_known(std::string_view text) {
  const Condition condition = read_condition(text);
  return condition.op != 0 && !condition.value.empty();
}

bool condition_holds(const VariantFacts& facts, std::string_view text) {
  const Condition condition = read_condition(text);
  if (condition.op == 0) return false;
  if (condition.op == ':')
    return has_key(*facts.names, facts.prefix, condition.value) == (condition.subject == "has");
  if (condition.subject.starts_with("config.")) {
    const auto value = facts.papers->find(condition.subject.substr(7));
    return value && compare_text(value->text, condition);
  }
  if (condition.subject.starts_with("meta.")) {
    const auto value = metadata(*facts.data, condition.subject.substr(5));
    return value && compare_text(*value, condition);
  }
  const auto size = facts.sizes->get(condition.subject);
  return size && compare_number(*size, condition);
}

bool lists_word(std::string_view list, std::string_view word) {
  for (const std::string_view one : split(list, ' '))
    if (one == word) return true;
  return false;
}

const VariantRow* choose_variant(const VariantFacts& facts, const Signature& signature,
                                 std::string_view claimed) {
  const VariantRow* best = nullptr;
  std::size_t best_count = 0;
  for (const auto table : variant_tables()) {
    for (const VariantRow& row : table) {
      if (!lists_word(row.layout, signature.id)) continue;
      if (!claimed.empty() && family_of(row, signature) != claimed) continue;
      const auto conditions = split(row.when, ' ');
      if (conditions.size() <= best_count) continue;
      bool all = true;
      for (const std::string_view condition : conditions)
        all = all && condition_holds(facts, condition);
      if (!all) continue;
      best = &row;
      best_count = conditions.size();
    }
  }
  return best;
}

}  // namespace kilter::model
