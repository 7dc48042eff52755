#include "cli/diff_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <vector>

#include "base/text.h"
#include "cli/style.h"

namespace kilter::cli {
namespace {

constexpr std::size_t kDiffRowsMax = 30;  // the full list is in --json and --all

std::string kind_text(DType dtype, const std::vector<std::int64_t>& shape) {
  return fmt::format("{} [{}]", dtype_name(dtype), fmt::join(shape, ", "));
}

std::string numbers_text(const TensorDiff& row) {
  const double share = row.elements == 0 ? 0
                                         : 100.0 * static_cast<double>(row.changed) /
                                               static_cast<double>(row.elements);
  if (dtype_row(row.dtype_a).kind != DTypeKind::kFloat)
    return fmt::format("{:.3g} % changed", share);
  std::string out = fmt::format(
      "{:.3g} % changed, largest {:.3g}, RMS {:.3g}, relative {:.3g}, "
      "cosine {:.6f}",
      share, row.largest, row.rms, row.relative_norm, row.cosine);
  if (row.not_finite > 0) out += fmt::format(", {} not finite", format_count(row.not_finite));
  return out;
}

std::string row_text(const TensorDiff& row) {
  const std::string a = kind_text(row.dtype_a, row.shape_a);
  const std::string b = kind_text(row.dtype_b, row.shape_b);
  switch (row.change) {
    case WeightChange::kOnlyInA:
      return "only in A  " + a;
    case WeightChange::kOnlyInB:
      return "only in B  " + b;
    case WeightChange::kShapeChanged:
    case WeightChange::kTypeChanged:
      return std::string(change_name(row.change)) + "  " + a + " -> " + b;
    case WeightChange::kEqualAfterRounding:
      return fmt::format("equal after rounding  {} -> {}", dtype_name(row.dtype_a),
                         dtype_name(row.dtype_b));
    case WeightChange::kIdentical:
      return "identical  " + a;
    case WeightChange::kChanged:
      break;
  }
  const bool other = row.dtype_a != row.dtype_b;
  return (other ? fmt::format("{} -> {}, ", dtype_name(row.dtype_a), dtype_name(row.dtype_b))
                : "") +
         numbers_text(row);
}

/// Where it has another name or order in B.
std::string match_text(const TensorDiff& row) {
  std::string out;
  if (!row.name_b.empty()) out += "  in B " + escape_text(row.name_b);
  if (!row.layout.empty()) out += "  (" + row.layout + ")";
  return out;
}

void print_rules(const CheckpointDiff& diff) {
  std::map<std::string, std::size_t> rules;
  for (const TensorDiff& row : diff.tensors) {
    if (!row.rule.empty()) ++rules["under another name by: " + row.rule];
    const bool in_parts = row.layout.starts_with("rows");
    if (!row.layout.empty() && !in_parts) ++rules["in another order: " + row.layout];
  }
  for (const auto& [rule, count] : rules)
    std::printf("  %s %s\n", format_count(count).c_str(), escape_text(rule).c_str());
}

std::string closer_text(const TensorDiff& row) {
  std::string out;
  if (row.interpolation)
    out += fmt::format(", share of C {:.4g} ({:.2g} % left)", row.interpolation->t,
                       100 * row.interpolation->residual);
  if (row.spectrum && row.spectrum->rank > 0) out += fmt::format(", rank {}", row.spectrum->rank);
  return out;
}

std::string mark(WeightChange change, const Style& style) {
  if (change == WeightChange::kOnlyInA) return style.bad("-");
  if (change == WeightChange::kOnlyInB) return style.good("+");
  return change == WeightChange::kIdentical ? " " : style.warn("~");
}

constexpr std::size_t kDiffKeysMax = 30;  // of one file; more with --json

std::string diff_value(const std::string& text) {
  return text.empty() ? std::string("(none)") : escape_text(text, 60);
}

void print_keys(const std::vector<CheckpointDiff::Key>& keys) {
  for (std::size_t i = 0; i < std::min(keys.size(), kDiffKeysMax); ++i)
    std::printf("    %s  %s -> %s\n", escape_text(keys[i].key).c_str(),
                diff_value(keys[i].before).c_str(), diff_value(keys[i].after).c_str());
  if (keys.size() > kDiffKeysMax)
    std::printf("    … %s more\n", format_count(keys.size() - kDiffKeysMax).c_str());
}

void print_texts(const CheckpointDiff& diff, const Style& style) {
  for (const auto& text : diff.texts) {
    if (std::ranges::any_of(diff.tokenizers,
                            [&](const auto& row) { return row.path == text.name; }))
      continue;  // says more
    const std::string what = text.file.empty()
                                 ? diff_value(text.before) + " -> " + diff_value(text.after)
                                 : (text.file == "differs" ? "the file differs" : text.file);
    std::printf("%s %s  %s\n", style.warn("~").c_str(), escape_text(text.name).c_str(),
                what.c_str());
    print_keys(text.keys);
  }
}

std::string examples_text(const std::vector<std::string>& words, std::uint64_t count) {
  std::string out;
  for (const std::string& word : words) out += " " + escape_text(word, 20);
  return out + (count > words.size() ? " …" : "");
}

void print_tokenizers(const CheckpointDiff& diff, const Style& style) {
  for (const TokenizerDiff& row : diff.tokenizers) {
    std::printf("%s %s  %s -> %s words", style.warn("~").c_str(), escape_text(row.path).c_str(),
                format_count(row.words_a).c_str(), format_count(row.words_b).c_str());
    if (row.merges_changed)
      std::printf(", merges %s -> %s", format_count(row.merges_a).c_str(),
                  format_count(row.merges_b).c_str());
    std::printf("\n");
    if (row.removed > 0)
      std::printf("    %s words only in A:%s\n", format_count(row.removed).c_str(),
                  examples_text(row.removed_examples, row.removed).c_str());
    if (row.added > 0)
      std::printf("    %s words only in B:%s\n", format_count(row.added).c_str(),
                  examples_text(row.added_examples, row.added).c_str());
    if (row.moved > 0)
      std::printf("    %s words have another number\n", format_count(row.moved).c_str());
    print_keys(row.keys);
  }
}

}  // namespace

bool was_compared(WeightChange change) {
  return change == WeightChange::kIdentical || change == WeightChange::kEqualAfterRounding ||
         change == WeightChange::kChanged;
}

std::vector<const TensorDiff*> shown_rows(const CheckpointDiff& diff, bool all) {
  std::vector<const TensorDiff*> rows;
  for (const TensorDiff& row : diff.tensors)
    if (all ||
        (row.change != WeightChange::kIdentical && row.change != WeightChange::kEqualAfterRounding))
      rows.push_back(&row);
  if (!all)
    std::ranges::stable_sort(rows, [](const TensorDiff* a, const TensorDiff* b) {
      const bool first = a->change != WeightChange::kChanged;
      const bool second = b->change != WeightChange::kChanged;
      return first != second ? first : a->relative_norm > b->relative_norm;
    });
  return rows;
}

void print_checkpoint_diff(const CheckpointDiff& diff, const Terminal& terminal, bool all) {
  const Style style(terminal.colour_out);
  print_texts(diff, style);
  print_tokenizers(diff, style);
  const std::vector<const TensorDiff*> rows = shown_rows(diff, all);
  const std::size_t count = all ? rows.size() : std::min(rows.size(), kDiffRowsMax);
  for (std::size_t i = 0; i < count; ++i)
    std::printf("%s %s  %s%s\n", mark(rows[i]->change, style).c_str(),
                style.name(escape_text(rows[i]->name)).c_str(), row_text(*rows[i]).c_str(),
                (closer_text(*rows[i]) + style.dim(match_text(*rows[i]))).c_str());
  if (count < rows.size())
    std::printf("  … %s more: --all lists them\n", format_count(rows.size() - count).c_str());
  std::map<WeightChange, std::size_t> kinds;
  for (const TensorDiff& row : diff.tensors) ++kinds[row.change];
  std::string tally;
  for (const auto& [kind, number] : kinds)
    tally +=
        (tally.empty() ? "" : ", ") + format_count(number) + " " + std::string(change_name(kind));
  std::printf("%s\n", tally.empty() ? "no tensors" : tally.c_str());
  print_rules(diff);
  for (const std::string& guess : diff.guesses)
    std::printf("%s %s\n", style.bold("looks like").c_str(), guess.c_str());
  if (diff.against && diff.guesses.empty())
    std::printf(
        "no interpolation: the best share of C is %.3g, and %.3g %% of the difference is left\n",
        diff.against->total.t, 100 * diff.against->total.residual);
  if (diff.total.changed > 0) std::printf("in all: %s\n", numbers_text(diff.total).c_str());
}

}  // namespace kilter::cli
