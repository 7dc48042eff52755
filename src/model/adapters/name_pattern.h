// Regular expressions over module names, as adapter configurations hold them ("rank_pattern",
// "alpha_pattern"). Matching takes time in proportion to the text, whatever the pattern.
#pragma once

#include <bitset>
#include <cstdint>
#include <string_view>
#include <vector>

#include "kilter/error.h"

namespace kilter::model {

/// What Python's `re` would match, for literals, '.', classes, \d \w \s, groups, '|', '*', '+',
/// '?', {m,n}, '^' and '$'. Lazy quantifiers match the same texts, and are taken as greedy ones.
class NamePattern {
 public:
  /// Errors: kUnsupported for anything else (lookaround, backreferences); kLimitExceeded for
  /// patterns that unfold to more than a few thousand steps; kMalformed for unbalanced ones.
  static Result<NamePattern> parse(std::string_view pattern);

  bool matches_whole(std::string_view text) const;
  /// As PEFT looks for a module in a pattern's keys: the whole name, or what stands behind one of
  /// its dots. Source: huggingface/peft utils/other.py, get_pattern_key.
  bool matches_module(std::string_view name) const;

 private:
  friend class NamePatternParser;
  using Class = std::bitset<256>;
  enum class Op : std::uint8_t { kClass, kSplit, kJump, kBegin, kEnd, kAccept };
  struct Step {
    Op op = Op::kAccept;
    std::uint32_t a = 0, b = 0;  // next steps, or the class
  };
  void follow(std::uint32_t step, std::size_t at, std::size_t size,
              std::vector<std::uint32_t>* states, std::vector<char>* seen) const;

  std::vector<Step> steps_;
  std::vector<Class> classes_;
};

}  // namespace kilter::model
