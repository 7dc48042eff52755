#include "model/match.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <unordered_map>

#include "base/checked.h"
#include "base/text.h"
#include "model/counts.h"

namespace kilter::model {
namespace {

// A model has a handful of components; a hostile file could offer thousands of places.
constexpr std::size_t kPlacesPerSignatureMax = 16;
constexpr std::size_t kEvaluationsMax = 400;
constexpr std::size_t kScanMax = 2048;
constexpr std::size_t kLevelsMax = 16;
constexpr std::size_t kEvidenceMax = 6;
constexpr std::size_t kNearMissesMax = 4;
constexpr std::size_t kMissingListedMax = 8;
constexpr double kScoreMin = 0.6;
constexpr double kRequiredWeight = 2;
constexpr double kSupportWeight = 1;

std::string_view parent_of(std::string_view prefix) {
  if (prefix.empty()) return prefix;
  std::size_t end = prefix.size() - 1;
  while (end > 0 && !is_separator(prefix[end - 1])) --end;
  return prefix.substr(0, end);
}

bool has_number(std::string_view prefix) {
  std::string form;
  fold_name(prefix, &form);
  return form != prefix;
}

bool is_wildcard(std::string_view level) { return level.size() > 1 && level.front() == '{'; }

std::string_view next_level(std::string_view* rest) {
  std::size_t end = 0;
  while (end < rest->size() && !is_separator((*rest)[end])) ++end;
  const std::string_view level = rest->substr(0, end);
  rest->remove_prefix(std::min(end + 1, rest->size()));
  return level;
}

// Both have the same folded form: only levels that are numbers need a look.
bool fits_pattern(std::string_view name, std::string_view pattern) {
  while (!pattern.empty()) {
    const std::string_view want = next_level(&pattern);
    const std::string_view have = next_level(&name);
    if (is_wildcard(want) || want.empty()) continue;
    if (want[0] >= '0' && want[0] <= '9' && want != have) return false;
  }
  return true;
}

// Where one signature is held against one place.
class Evaluation {
 public:
  Evaluation(const NameTable& names, const ParsedSignature& signature, std::string_view prefix)
      : names_(names), prefix_(prefix), prefix_has_number_(has_number(prefix)) {
    out_.signature = &signature;
    out_.prefix = prefix;
    fold_name(prefix, &prefix_form_);
    const std::string_view parent = parent_of(prefix);
    fold_name(parent, &parent_form_);
  }

  Candidate run() {
    for (const KeyRule& key : out_.signature->keys) weigh(key);
    out_.score = total_ > 0 ? found_ / total_ : 0;
    out_.fits = !broken_ && out_.score >= kScoreMin;
    return std::move(out_);
  }

  std::uint32_t locate(const KeyRule& key) {
    const std::string_view base = key.from_parent ? parent_of(prefix_) : prefix_;
    form_ = key.from_parent ? parent_form_ : prefix_form_;
    form_ += key.form;
    const NameGroup* group = names_.group(form_);
    if (group == nullptr) return kNone;
    if (!key.literal && !prefix_has_number_) return group->first;
    if (key.literal && key.counts.empty()) {
      exact_ = base;
      exact_ += key.text;
      return names_.find(exact_);
    }
    std::uint32_t at = group->first;
    for (std::size_t scanned = 0; at != kNone && scanned < kScanMax; ++scanned) {
      const std::string_view name = names_.name(at);
      if (name.starts_with(base) && fits_pattern(name.substr(base.size()), key.text)) return at;
      at = names_.next(at);
    }
    return kNone;
  }

 private:
  void weigh(const KeyRule& key) {
    const std::uint32_t at = locate(key);
    const bool there = at != kNone && shape_fits(key, at);
    switch (key.need) {
      case Need::kRequired:
        total_ += kRequiredWeight;
        if (there) {
          found_ += kRequiredWeight;
          ++out_.required_found;
        } else {
          broken_ = true;
          note_failure(key, at);
        }
        break;
      case Need::kSupport:
        total_ += kSupportWeight;
        if (there) found_ += kSupportWeight;
        break;
      case Need::kForbidden:
        if (!there) return;
        broken_ = true;
        out_.failed.push_back(fmt::format("has {}", describe_tensor(names_, at)));
        return;
      case Need::kOptional:
        return;
    }
    if (there && out_.found.size() < kEvidenceMax)
      out_.found.push_back(describe_tensor(names_, at));
  }

  void note_failure(const KeyRule& key, std::uint32_t at) {
    if (at == kNone)
      out_.failed.push_back(fmt::format("lacks {}", key.text));
    else
      out_.failed.push_back(fmt::format("does not expect {}", describe_tensor(names_, at)));
  }

  bool shape_fits(const KeyRule& key, std::uint32_t at) {
    if (!key.has_shape) return true;
    if (names_.packed(at)) {
      out_.packed = true;
      return true;
    }
    const auto& shape = names_.tensor(at).shape;
    Sizes bound = out_.sizes;
    std::size_t position = 0;
    for (const DimRule& rule : key.shape) {
      if (rule.kind == DimRule::Kind::kRest) {
        position = shape.size();
        break;
      }
      if (position >= shape.size() || !dim_fits(rule, shape[position], &bound)) return false;
      ++position;
    }
    if (position != shape.size()) return false;
    out_.sizes = std::move(bound);
    return true;
  }

  static bool dim_fits(const DimRule& rule, std::int64_t dim, Sizes* bound) {
    const bool chosen = rule.choices.empty() || std::find(rule.choices.begin(), rule.choices.end(),
                                                          dim) != rule.choices.end();
    switch (rule.kind) {
      case DimRule::Kind::kChoice:
        return chosen;
      case DimRule::Kind::kName:
        return chosen && dim > 0 && dim % rule.factor == 0 &&
               bound->bind(rule.name, dim / rule.factor);
      case DimRule::Kind::kAny:
      case DimRule::Kind::kRest:
        return true;
    }
    return false;
  }

  const NameTable& names_;
  std::string_view prefix_;
  bool prefix_has_number_;
  std::string prefix_form_, parent_form_, form_, exact_;
  Candidate out_;
  double found_ = 0, total_ = 0;
  bool broken_ = false;
};

// Numbers that stand where `key` has its wildcard number `which`.
std::vector<std::uint32_t> numbers_at(const NameTable& names, const NameGroup& group,
                                      std::string_view base, const KeyRule& key,
                                      std::size_t which) {
  std::vector<std::uint32_t> numbers;
  for (std::uint32_t at = group.first; at != kNone; at = names.next(at)) {
    std::string_view name = names.name(at);
    if (!name.starts_with(base)) continue;
    name.remove_prefix(base.size());
    std::string_view pattern = key.text;
    std::size_t wildcard = 0;
    while (!pattern.empty()) {
      const std::string_view want = next_level(&pattern);
      const std::string_view have = next_level(&name);
      if (!is_wildcard(want) || wildcard++ != which) continue;
      std::uint32_t number = 0;
      for (const char c : have) number = number * 10 + static_cast<std::uint32_t>(c - '0');
      numbers.push_back(number);
      break;
    }
  }
  std::sort(numbers.begin(), numbers.end());
  numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
  return numbers;
}

void note_gaps(const std::vector<std::uint32_t>& numbers, Candidate* out) {
  if (numbers.empty()) return;
  out->missing_layer_count = std::uint64_t{numbers.back()} + 1 - numbers.size();
  std::uint32_t expected = 0;
  for (const std::uint32_t number : numbers) {
    for (; expected < number && out->missing_layers.size() < kMissingListedMax; ++expected)
      out->missing_layers.push_back(expected);
    expected = number + 1;
  }
}

void count_wildcards(const NameTable& names, Candidate* candidate) {
  for (const KeyRule& key : candidate->signature->keys) {
    if (key.need == Need::kForbidden) continue;
    for (std::size_t which = 0; which < key.counts.size(); ++which) {
      if (key.counts[which] == "n") continue;
      const std::string_view prefix = candidate->prefix;
      const std::string_view base = key.from_parent ? parent_of(prefix) : prefix;
      std::string form;
      fold_name(base, &form);
      form += key.form;
      const NameGroup* group = names.group(form);
      if (group == nullptr) continue;
      const auto numbers = numbers_at(names, *group, base, key, which);
      candidate->sizes.bind(key.counts[which], static_cast<std::int64_t>(numbers.size()));
      if (key.counts[which].ends_with("layers")) note_gaps(numbers, candidate);
    }
  }
}

// Folded anchors, each with the signatures that begin there.
using AnchorMap = std::unordered_map<std::string_view, std::vector<const ParsedSignature*>>;

const AnchorMap& anchors() {
  static const AnchorMap map = [] {
    AnchorMap made;
    for (const ParsedSignature& one : signatures()) made[one.keys[one.anchor].form].push_back(&one);
    return made;
  }();
  return map;
}

struct Place {
  const ParsedSignature* signature;
  std::string_view prefix;
};

// The places where a group's names end in an anchor: one for each different text before it.
void add_places(const NameTable& names, const NameGroup& group, std::string_view anchor,
                const ParsedSignature& signature, std::vector<Place>* places) {
  const std::size_t levels_before = static_cast<std::size_t>(
      std::count_if(group.form.begin(),
                    group.form.end() - static_cast<std::ptrdiff_t>(anchor.size()), is_separator));
  const bool varies =
      group.form.substr(0, group.form.size() - anchor.size()).find("{n}") != std::string_view::npos;
  std::vector<std::string_view> seen;
  std::uint32_t at = group.first;
  for (std::size_t scanned = 0; at != kNone && scanned < kScanMax; ++scanned) {
    const std::string_view name = names.name(at);
    std::size_t end = 0;
    for (std::size_t levels = 0; levels < levels_before; ++end)
      if (is_separator(name[end])) ++levels;
    const std::string_view prefix = name.substr(0, end);
    if (std::find(seen.begin(), seen.end(), prefix) == seen.end()) {
      seen.push_back(prefix);
      places->push_back({&signature, prefix});
    }
    if (!varies || seen.size() >= kPlacesPerSignatureMax) return;
    at = names.next(at);
  }
}

std::vector<Place> find_places(const NameTable& names) {
  std::vector<Place> places;
  const AnchorMap& map = anchors();
  for (const NameGroup& group : names.groups()) {
    if (group.form.size() > kNameBytesMax) continue;
    std::string_view rest = group.form;
    for (std::size_t level = 0; level < kLevelsMax && !rest.empty(); ++level) {
      const auto found = map.find(rest);
      if (found != map.end())
        for (const ParsedSignature* signature : found->second)
          add_places(names, group, rest, *signature, &places);
      if (places.size() >= kEvaluationsMax) return places;
      next_level(&rest);
    }
  }
  return places;
}

bool covered(const Candidate& candidate, std::string_view prefix_form, std::string_view parent_form,
             std::string_view form) {
  for (std::string_view cover : candidate.signature->covers) {
    const bool up = cover.front() == '^';
    if (up) cover.remove_prefix(1);
    const std::string_view base = up ? parent_form : prefix_form;
    if (form.starts_with(base) && form.substr(base.size()).starts_with(cover)) return true;
  }
  return false;
}

// Calls `use(group number)` for every group the candidate takes in.
template <typename Use>
void for_each_covered(const NameTable& names, const Candidate& candidate, Use use) {
  std::string prefix_form, parent_form;
  fold_name(candidate.prefix, &prefix_form);
  fold_name(parent_of(candidate.prefix), &parent_form);
  for (std::uint32_t number = 0; number < names.groups().size(); ++number)
    if (covered(candidate, prefix_form, parent_form, names.groups()[number].form)) use(number);
}

bool better(const Candidate& a, const Candidate& b) {
  const int rank_a = a.signature->row->rank;
  const int rank_b = b.signature->row->rank;
  if (rank_a != rank_b) return rank_a > rank_b;
  if (a.elements != b.elements) return a.elements > b.elements;
  if (a.score != b.score) return a.score > b.score;
  return a.required_found > b.required_found;
}

bool nearer(const Candidate& a, const Candidate& b) {
  if (a.required_found != b.required_found) return a.required_found > b.required_found;
  return a.score > b.score;
}

bool rivals(const Candidate& a, const Candidate& b) {
  return a.prefix == b.prefix && a.signature->row->family != b.signature->row->family &&
         a.signature->row->rank == b.signature->row->rank && a.score == b.score &&
         a.required_found == b.required_found;
}

std::string group_form_of_anchor(const Candidate& candidate) {
  std::string form;
  fold_name(candidate.prefix, &form);
  return form + candidate.signature->keys[candidate.signature->anchor].form;
}

}  // namespace

std::optional<std::int64_t> Sizes::get(std::string_view name) const {
  for (const auto& [key, value] : all_)
    if (key == name) return value;
  return std::nullopt;
}

bool Sizes::bind(std::string_view name, std::int64_t value) {
  if (const auto have = get(name)) return *have == value;
  all_.emplace_back(name, value);
  return true;
}

void Sizes::set(std::string_view name, std::int64_t value) {
  for (auto& [key, old] : all_)
    if (key == name) old = value;
  bind(name, value);
}

std::string describe_tensor(const NameTable& names, std::uint32_t at) {
  std::string text = escape_text(names.name(at), 120);
  text += " [";
  const auto& shape = names.tensor(at).shape;
  for (std::size_t i = 0; i < shape.size() && i < 8; ++i) {
    text += i > 0 ? "," : "";
    text += std::to_string(shape[i]);
  }
  return text + "]";
}

bool has_key(const NameTable& names, std::string_view prefix, std::string_view key) {
  ParsedSignature single;
  Signature row{};
  std::string problem;
  std::string_view base = prefix;
  if (key.starts_with('/')) {
    key.remove_prefix(1);
    base = {};
  } else if (key.starts_with('^')) {
    key.remove_prefix(1);
    base = parent_of(prefix);
  }
  const std::string line = fmt::format("! {}", key);
  row.keys = line;
  if (!parse_signature(row, &single, &problem)) return false;
  return Evaluation(names, single, base).locate(single.keys.front()) != kNone;
}

Components find_components(const NameTable& names) {
  Components out;
  out.owner.assign(names.groups().size(), kNone);
  std::vector<std::uint64_t> elements(names.groups().size(), 0);
  for (std::size_t number = 0; number < elements.size(); ++number) {
    elements[number] = group_elements(names, names.groups()[number]);
    out.elements += elements[number];
  }
  std::vector<Candidate> fitting;
  for (const Place& place : find_places(names)) {
    Candidate candidate = Evaluation(names, *place.signature, place.prefix).run();
    if (!candidate.fits) {
      out.near_misses.push_back(std::move(candidate));
      continue;
    }
    for_each_covered(names, candidate,
                     [&](std::uint32_t number) { candidate.elements += elements[number]; });
    fitting.push_back(std::move(candidate));
  }
  std::stable_sort(out.near_misses.begin(), out.near_misses.end(), nearer);
  if (out.near_misses.size() > kNearMissesMax) out.near_misses.resize(kNearMissesMax);
  std::stable_sort(fitting.begin(), fitting.end(), better);

  for (Candidate& candidate : fitting) {
    const NameGroup* anchor = names.group(group_form_of_anchor(candidate));
    const auto anchor_number = static_cast<std::size_t>(anchor - names.groups().data());
    if (out.owner[anchor_number] != kNone) {
      if (rivals(out.accepted.front(), candidate)) out.rivals.push_back(std::move(candidate));
      // Two encoders may lie side by side in one group: embedders.0 and embedders.1.
      continue;
    }
    const auto position = static_cast<std::uint32_t>(out.accepted.size());
    for_each_covered(names, candidate, [&](std::uint32_t number) {
      if (out.owner[number] == kNone) out.owner[number] = position;
    });
    if (out.owner[anchor_number] == kNone) out.owner[anchor_number] = position;
    count_wildcards(names, &candidate);
    out.accepted.push_back(std::move(candidate));
  }
  return out;
}

}  // namespace kilter::model
