#include "model/adapters/name_pattern.h"

#include <algorithm>
#include <string>

#include "base/try.h"

namespace kilter::model {
namespace {

constexpr std::size_t kPatternStepsMax = 4096;
constexpr std::uint32_t kPatternDepthMax = 64;

bool is_pattern_digit(char c) { return c >= '0' && c <= '9'; }

void add_range(std::bitset<256>* set, unsigned char first, unsigned char last) {
  for (unsigned c = first; c <= last; ++c) set->set(c);
}

/// \d, \w, \s; false for any other letter.
bool add_escape(char letter, std::bitset<256>* set) {
  switch (letter) {
    case 'd':
      add_range(set, '0', '9');
      return true;
    case 'w':
      add_range(set, '0', '9');
      add_range(set, 'a', 'z');
      add_range(set, 'A', 'Z');
      set->set('_');
      return true;
    case 's':
      for (const char c : {' ', '\t', '\n', '\r', '\f', '\v'})
        set->set(static_cast<unsigned char>(c));
      return true;
    default:
      return false;
  }
}

}  // namespace

/// Writes steps for one level of the grammar after the other: alternatives, sequences, repeats.
class NamePatternParser {
 public:
  explicit NamePatternParser(std::string_view text) : text_(text) {}

  Result<NamePattern> run() {
    KILTER_TRY(alternatives(0));
    if (at_ < text_.size()) return fail(malformed("a ')' too many"));
    KILTER_TRY(emit({NamePattern::Op::kAccept}));
    return std::move(out_);
  }

 private:
  using Op = NamePattern::Op;
  using Step = NamePattern::Step;

  Error malformed(std::string what) const {
    return Error(ErrorCode::kMalformed, "the pattern '" + std::string(text_.substr(0, 200)) +
                                            "' is no regular expression: " + what);
  }
  Error unsupported() const {
    return Error(ErrorCode::kUnsupported, "the pattern '" + std::string(text_.substr(0, 200)) +
                                              "' uses what module names never need");
  }
  bool more() const { return at_ < text_.size(); }
  std::uint32_t here() const { return static_cast<std::uint32_t>(out_.steps_.size()); }

  Status emit(Step step) {
    if (out_.steps_.size() >= kPatternStepsMax)
      return fail(ErrorCode::kLimitExceeded, "a pattern of module names is too long");
    out_.steps_.push_back(step);
    return ok();
  }

  /// Makes room for a step in front of those from `first` on, whose own targets move along.
  Status insert(std::uint32_t first, Step step) {
    KILTER_TRY(emit({}));
    for (std::uint32_t i = here() - 1; i > first; --i)
      out_.steps_[i] = moved(out_.steps_[i - 1], first, 1);
    out_.steps_[first] = step;
    return ok();
  }

  static Step moved(Step step, std::uint32_t first, std::uint32_t by) {
    if (step.op == Op::kSplit || step.op == Op::kJump) {
      if (step.a >= first) step.a += by;
      if (step.op == Op::kSplit && step.b >= first) step.b += by;
    }
    return step;
  }

  Status alternatives(std::uint32_t depth) {
    if (depth > kPatternDepthMax)
      return fail(ErrorCode::kLimitExceeded, "a pattern is nested too deep");
    const std::uint32_t first = here();
    KILTER_TRY(sequence(depth));
    std::vector<std::uint32_t> exits;
    std::uint32_t branch = first;
    while (more() && text_[at_] == '|') {
      ++at_;
      KILTER_TRY(insert(branch, {Op::kSplit, branch + 1, 0}));
      for (std::uint32_t& exit : exits) exit += exit >= branch ? 1U : 0U;
      exits.push_back(here());
      KILTER_TRY(emit({Op::kJump}));
      out_.steps_[branch].b = here();
      branch = here();
      KILTER_TRY(sequence(depth));
    }
    for (const std::uint32_t exit : exits) out_.steps_[exit].a = here();
    return ok();
  }

  Status sequence(std::uint32_t depth) {
    while (more() && text_[at_] != '|' && text_[at_] != ')') {
      const std::uint32_t first = here();
      KILTER_TRY(atom(depth));
      while (more() && std::string_view("*+?{").find(text_[at_]) != std::string_view::npos)
        KILTER_TRY(repeat(first));
    }
    return ok();
  }

  Status atom(std::uint32_t depth) {
    const char c = text_[at_++];
    if (c == '^') return emit({Op::kBegin});
    if (c == '$') return emit({Op::kEnd});
    if (c == '(') return group(depth);
    if (c == '*' || c == '+' || c == '?') return fail(malformed("nothing to repeat"));
    NamePattern::Class set;
    if (c == '.') {
      set.set();
      set.reset('\n');
    } else if (c == '[') {
      KILTER_TRY(read_class(&set));
    } else if (c == '\\') {
      KILTER_TRY(read_escape(&set));
    } else {
      set.set(static_cast<unsigned char>(c));
    }
    return emit_class(set);
  }

  Status emit_class(const NamePattern::Class& set) {
    out_.classes_.push_back(set);
    return emit({Op::kClass, static_cast<std::uint32_t>(out_.classes_.size() - 1)});
  }

  Status group(std::uint32_t depth) {
    if (more() && text_[at_] == '?') {
      if (text_.substr(at_, 2) != "?:") return fail(unsupported());
      at_ += 2;
    }
    KILTER_TRY(alternatives(depth + 1));
    if (!more()) return fail(malformed("a ')' is missing"));
    ++at_;
    return ok();
  }

  Status read_escape(NamePattern::Class* set) {
    if (!more()) return fail(malformed("it ends in '\\'"));
    const char letter = text_[at_++];
    if (add_escape(letter, set)) return ok();
    const bool plain = !is_pattern_digit(letter) && !(letter >= 'a' && letter <= 'z') &&
                       !(letter >= 'A' && letter <= 'Z');
    if (!plain) return fail(unsupported());
    set->set(static_cast<unsigned char>(letter));
    return ok();
  }

  Status read_class(NamePattern::Class* set) {
    const bool inverse = more() && text_[at_] == '^';
    if (inverse) ++at_;
    for (bool first = true; more() && (first || text_[at_] != ']'); first = false) {
      const char c = text_[at_++];
      if (c == '\\') {
        KILTER_TRY(read_escape(set));
        continue;
      }
      const bool range = at_ + 1 < text_.size() && text_[at_] == '-' && text_[at_ + 1] != ']';
      const char last = range ? text_[at_ + 1] : c;
      if (range) at_ += 2;
      if (static_cast<unsigned char>(last) < static_cast<unsigned char>(c))
        return fail(malformed("a range runs backwards"));
      add_range(set, static_cast<unsigned char>(c), static_cast<unsigned char>(last));
    }
    if (!more()) return fail(malformed("a ']' is missing"));
    ++at_;
    if (inverse) set->flip();
    return ok();
  }

  Status repeat(std::uint32_t first) {
    const char sign = text_[at_++];
    Status done = ok();
    if (sign == '?') done = optional(first);
    if (sign == '*' || sign == '+') done = loop(first, sign == '*');
    if (sign == '{') done = counted(first);
    if (done && more() && text_[at_] == '?') ++at_;  // lazy: the same texts
    return done;
  }

  Status optional(std::uint32_t first) {
    KILTER_TRY(insert(first, {Op::kSplit, first + 1, 0}));
    out_.steps_[first].b = here();
    return ok();
  }

  Status loop(std::uint32_t first, bool or_none) {
    KILTER_TRY(emit({Op::kSplit, first, here() + 1}));
    return or_none ? optional(first) : ok();
  }

  Status counted(std::uint32_t first) {
    std::uint32_t least = 0, most = 0;
    const bool has_least = number(&least);
    const bool comma = more() && text_[at_] == ',';
    if (comma) ++at_;
    const bool has_most = comma && number(&most);
    if (!more() || text_[at_] != '}' || (!has_least && !has_most)) return fail(unsupported());
    ++at_;
    if (!comma) most = least;
    if (comma && !has_most) most = std::max(least, 1U);
    if (most < least || most == 0) return fail(unsupported());
    return unfold(first, least, most, comma && !has_most);
  }

  bool number(std::uint32_t* value) {
    const std::size_t from = at_;
    while (more() && is_pattern_digit(text_[at_]) && at_ - from < 4)
      *value = *value * 10 + static_cast<std::uint32_t>(text_[at_++] - '0');
    return at_ > from;
  }

  /// x{2,4} as xxx?x?; x{2,} as xx+.
  Status unfold(std::uint32_t first, std::uint32_t least, std::uint32_t most, bool endless) {
    const std::vector<Step> unit(out_.steps_.begin() + first, out_.steps_.end());
    for (std::uint32_t i = 0; i < most; ++i) {
      const std::uint32_t begin = here();
      if (i > 0)
        for (const Step& step : unit) KILTER_TRY(emit(moved(step, first, begin - first)));
      const std::uint32_t from = i > 0 ? begin : first;
      if (endless && i + 1 == most) KILTER_TRY(loop(from, least == 0));
      if (!endless && i >= least) KILTER_TRY(optional(from));
    }
    return ok();
  }

  std::string_view text_;
  std::size_t at_ = 0;
  NamePattern out_;
};

Result<NamePattern> NamePattern::parse(std::string_view pattern) {
  return NamePatternParser(pattern).run();
}

void NamePattern::follow(std::uint32_t step, std::size_t at, std::size_t size,
                         std::vector<std::uint32_t>* states, std::vector<char>* seen) const {
  std::vector<std::uint32_t> open = {step};
  while (!open.empty()) {
    const std::uint32_t one = open.back();
    open.pop_back();
    if ((*seen)[one] != 0) continue;
    (*seen)[one] = 1;
    const Step& its = steps_[one];
    if (its.op == Op::kSplit) {
      open.push_back(its.b);
      open.push_back(its.a);
    } else if (its.op == Op::kJump) {
      open.push_back(its.a);
    } else if (its.op == Op::kBegin || its.op == Op::kEnd) {
      if (at == (its.op == Op::kBegin ? 0 : size)) open.push_back(one + 1);
    } else {
      states->push_back(one);
    }
  }
}

bool NamePattern::matches_whole(std::string_view text) const {
  std::vector<std::uint32_t> states, next;
  std::vector<char> seen(steps_.size(), 0);
  follow(0, 0, text.size(), &states, &seen);
  for (std::size_t at = 0; at < text.size() && !states.empty(); ++at) {
    std::fill(seen.begin(), seen.end(), '\0');
    next.clear();
    for (const std::uint32_t state : states)
      if (steps_[state].op == Op::kClass &&
          classes_[steps_[state].a].test(static_cast<unsigned char>(text[at])))
        follow(state + 1, at + 1, text.size(), &next, &seen);
    states.swap(next);
  }
  return std::any_of(states.begin(), states.end(),
                     [&](std::uint32_t state) { return steps_[state].op == Op::kAccept; });
}

bool NamePattern::matches_module(std::string_view name) const {
  if (matches_whole(name)) return true;
  for (auto dot = name.find('.'); dot != std::string_view::npos; dot = name.find('.', dot + 1))
    if (matches_whole(name.substr(dot + 1))) return true;
  return false;
}

}  // namespace kilter::model
