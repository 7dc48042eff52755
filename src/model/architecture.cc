#include "model/architecture.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "base/text.h"
#include "model/variant.h"

namespace kilter::model {
namespace {

constexpr double kFloor = 0.6;       // all required keys are there
constexpr double kSpan = 0.35;       // and all supporting ones
constexpr double kAgreement = 0.04;  // a configuration says the same
constexpr double kConfidenceMax = 0.99;
constexpr double kCoverageMin = 0.3;
constexpr double kDisagreement = 0.6;

std::optional<std::int64_t> parse_size(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

std::optional<std::int64_t> operand(const Sizes& sizes, std::string_view text) {
  if (const auto number = parse_size(text)) return number;
  return sizes.get(text);
}

// "heads=width/64": fills a size that nothing stated.
void derive(std::string_view rule, Sizes* sizes) {
  const std::size_t equals = rule.find('=');
  const std::size_t op = rule.find_first_of("*/", equals);
  if (equals == std::string_view::npos || op == std::string_view::npos) return;
  const std::string_view name = rule.substr(0, equals);
  if (sizes->get(name)) return;
  const auto a = operand(*sizes, rule.substr(equals + 1, op - equals - 1));
  const auto b = operand(*sizes, rule.substr(op + 1));
  if (!a || !b || *a > INT32_MAX || *b > INT32_MAX) return;
  if (rule[op] == '*') sizes->bind(name, *a * *b);
  if (rule[op] == '/' && *b > 0 && *a % *b == 0) sizes->bind(name, *a / *b);
}

// "6.7b", "124m": how people name a size.
std::string short_quantity(std::uint64_t count) {
  const double millions = static_cast<double>(count) / 1e6;
  if (millions < 1) return fmt::format("{}k", count / 1000);
  if (millions < 1000) return fmt::format("{}m", std::llround(millions));
  const double billions = std::round(millions / 100) / 10;
  if (billions >= 10 || billions == std::floor(billions))
    return fmt::format("{}b", std::llround(billions));
  return fmt::format("{:.1f}b", billions);
}

bool is_language(std::string_view role) {
  return role == "language-model" || role == "text-encoder" || role == "speech";
}

std::string at_place(std::string_view prefix) {
  return prefix.empty() ? std::string("the top") : escape_text(prefix, 100);
}

class Resolver {
 public:
  Resolver(const CheckpointData& data, const NameTable& names, const Components& components,
           const Papers& papers, Identity* out)
      : data_(data), names_(names), components_(components), papers_(papers), out_(*out) {}

  void run() {
    claim_ = read_claim(papers_);
    if (components_.accepted.empty())
      without_components();
    else if (coverage() < kCoverageMin && !claim_supports())
      too_little();
    else
      from_components();
    if (!claim_.text.empty() && !claim_noted_) note(claim_.text);
  }

 private:
  const Candidate& primary() const { return components_.accepted.front(); }
  const Signature& signature() const { return *primary().signature->row; }
  void note(std::string text) { out_.architecture.evidence.push_back(std::move(text)); }

  double coverage() const {
    if (components_.elements == 0) return 1;
    double covered = 0;
    for (const Candidate& one : components_.accepted) covered += static_cast<double>(one.elements);
    return std::min(1.0, covered / static_cast<double>(components_.elements));
  }

  bool claim_supports() const {
    return claim_.row != nullptr && lists_word(claim_.row->layouts, signature().id);
  }

  void from_components() {
    Answer& answer = out_.architecture;
    sizes_ = primary().sizes;
    take_mtp_layers();
    take_config_sizes();
    for (const std::string_view rule : split(signature().derive, ' ')) derive(rule, &sizes_);

    const bool supported = claim_supports();
    const bool renamed = supported && !claim_.row->family.empty();
    const VariantFacts facts{&data_, &names_, &papers_, primary().prefix, &sizes_};
    const VariantRow* row =
        choose_variant(facts, signature(), renamed ? claim_.row->family : std::string_view{});

    const Signature* rival = undecided(supported);
    if (rival != nullptr) {
      note(fmt::format("fits {} and {} equally well", signature().title, rival->title));
      answer.title = "Ambiguous";
      return;
    }
    answer.value = renamed ? claim_.row->family
                           : (row != nullptr ? family_of(*row, signature()) : signature().family);
    answer.title = title_of(answer.value, renamed);
    answer.confidence = confidence(supported);
    for (const std::string& found : primary().found) note(found);
    for (const std::string& failed : primary().failed) note("but: " + failed);
    if (!primary().prefix.empty()) note("lies at " + at_place(primary().prefix));
    note_company();
    answer_variant(row);
    report_sizes();
  }

  std::string title_of(std::string_view family, bool renamed) const {
    if (renamed) return std::string(claim_.row->title);
    if (family == signature().family) return std::string(signature().title);
    for (const ConfigRow& row : config_table())
      if (row.family == family) return std::string(row.title);
    return std::string(family);
  }

  // Another family with the same keys, and no configuration that decides.
  const Signature* undecided(bool supported) const {
    if (supported || components_.rivals.empty()) return nullptr;
    return components_.rivals.front().signature->row;
  }

  double confidence(bool supported) {
    double value = kFloor + kSpan * primary().score;
    const double share = coverage();
    if (share < 0.9) {
      value *= 0.6 + 0.4 * share;
      note(fmt::format("{:.0f}% of the parameters belong to known components", share * 100));
    }
    if (supported) {
      value += kAgreement;
      note(claim_.text);
      claim_noted_ = true;
    } else if (claim_.row != nullptr && !claim_.row->layouts.empty()) {
      value *= kDisagreement;
      note(claim_.text + ", which the keys do not bear out");
      claim_noted_ = true;
    } else if (!claim_.text.empty() && claim_.row == nullptr) {
      value *= kDisagreement;
      note(claim_.text + ", which is not in the table");
      claim_noted_ = true;
    }
    return std::min(value, kConfidenceMax);
  }

  void note_company() {
    for (std::size_t i = 1; i < components_.accepted.size() && i < 8; ++i) {
      const Candidate& other = components_.accepted[i];
      note(
          fmt::format("also holds: {} at {}", other.signature->row->title, at_place(other.prefix)));
    }
  }

  void answer_variant(const VariantRow* row) {
    Answer& variant = out_.variant;
    if (row != nullptr) {
      variant.value = row->value;
      variant.title = row->title;
      variant.confidence = std::min(row->confidence, out_.architecture.confidence + 0.05);
      variant.evidence.push_back(std::string(row->when));
      variant.evidence.push_back(fmt::format("table: {}", row->source));
      return;
    }
    if (!is_language(signature().role) || primary().packed || out_.parameter_count == 0) return;
    variant.value =
        out_.architecture.value + "-" + short_quantity(out_.parameter_count) + "-shaped";
    variant.title = fmt::format("{} of {} parameters", out_.architecture.title,
                                format_quantity(out_.parameter_count));
    variant.confidence = 0.5;
    variant.evidence.push_back(
        "named after its counted parameters: no row of the table has this shape");
  }

  // DeepSeek V3 numbers its prediction module as one more layer.
  void take_mtp_layers() {
    const auto mtp = sizes_.get("mtp-layers");
    const auto layers = sizes_.get("layers");
    if (mtp && layers && *layers > *mtp) sizes_.set("layers", *layers - *mtp);
  }

  // Shapes win over the configuration; where they differ the answer says so.
  void take_config_sizes() {
    for (const SizeKeyRow& row : size_key_table()) {
      const auto value = papers_.find_at_root(row.key);
      if (!value) continue;
      const auto number = parse_size(value->text);
      if (!number || *number == 0) continue;
      const auto shape = sizes_.get(row.size);
      if (!shape) {
        sizes_.bind(row.size, *number);
      } else if (*shape != *number && from_shapes(row.size)) {
        note(fmt::format("{}: {} {}, but the tensors say {}", value->path, row.key, *number,
                         *shape));
      }
    }
  }

  bool from_shapes(std::string_view name) const {
    return !components_.accepted.empty() && primary().sizes.get(name).has_value();
  }

  void report_sizes() {
    for (const auto& [name, value] : sizes_.all())
      if (!name.starts_with('_')) out_.sizes.emplace_back(name, std::to_string(value));
    if (!components_.accepted.empty() && primary().packed) out_.sizes.emplace_back("packed", "yes");
    if (const auto method = papers_.find("quantization_config.quant_method"))
      out_.sizes.emplace_back("quantization", std::string(method->text));
  }

  void too_little() {
    note(
        fmt::format("only {:.0f}% of the parameters belong to known components", coverage() * 100));
    for (const Candidate& one : components_.accepted) {
      if (out_.architecture.evidence.size() > 6) break;
      note(fmt::format("holds: {} at {}", one.signature->row->title, at_place(one.prefix)));
    }
  }

  void without_components() {
    if (claim_.row != nullptr && !claim_.row->family.empty()) {
      const bool tensors = names_.size() > 0;
      out_.architecture.value = claim_.row->family;
      out_.architecture.title = claim_.row->title;
      out_.architecture.confidence = tensors ? 0.4 : 0.85;
      if (tensors) note("the tensors' names fit no signature of it");
      take_config_sizes();
      report_sizes();
    }
    for (const Candidate& miss : components_.near_misses) {
      if (miss.required_found == 0) continue;
      std::string text = fmt::format("not {}:", miss.signature->row->title);
      for (std::size_t i = 0; i < miss.failed.size() && i < 2; ++i) {
        text += i > 0 ? "; " : " ";
        text += miss.failed[i];
      }
      note(text);
    }
  }

  const CheckpointData& data_;
  const NameTable& names_;
  const Components& components_;
  const Papers& papers_;
  Identity& out_;
  Claim claim_;
  Sizes sizes_;
  bool claim_noted_ = false;
};

}  // namespace

Claim read_claim(const Papers& papers) {
  Claim claim;
  static constexpr std::array<std::string_view, 3> kFiles = {"model_index.json", "config.json",
                                                             "params.json"};
  static constexpr std::array<std::string_view, 3> kFields = {"model_type", "_class_name", "model"};
  for (const std::string_view file : kFiles) {
    for (const FlatJson& config : papers.configs) {
      if (base_name(config.path) != file) continue;
      for (const std::string_view field : kFields) {
        const auto value = config.find(field);
        if (!value) continue;
        const std::string text =
            fmt::format("{}: {} {}", config.path, field, escape_text(*value, 100));
        for (const ConfigRow& row : config_table())
          if (row.field == field && row.value == *value) return {&row, text};
        if (claim.text.empty() && field != "model") claim.text = text;
      }
    }
  }
  return claim;
}

void answer_architecture(const CheckpointData& data, const NameTable& names,
                         const Components& components, const Papers& papers, Identity* identity) {
  Resolver(data, names, components, papers, identity).run();
}

}  // namespace kilter::model
