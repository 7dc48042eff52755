// The page of kilter diff.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <vector>

#include "base/text.h"
#include "cli/diff_text.h"
#include "cli/html_heat.h"
#include "cli/html_page.h"
#include "cli/html_reports.h"

namespace kilter::cli {
namespace {

/// The tensors of one layer and part that could be compared.
struct DiffCell {
  std::uint64_t tensors = 0, elements = 0, changed = 0, not_finite = 0;
  double squares = 0, a_squares = 0, largest = 0;
  std::string first;  // a name

  void add(const TensorDiff& row) {
    if (tensors++ == 0) first = row.name;
    elements += row.elements;
    changed += row.changed;
    not_finite += row.not_finite;
    const auto finite = static_cast<double>(row.elements - row.not_finite);
    squares += row.rms * row.rms * finite;
    a_squares += row.norm_a * row.norm_a;
    largest = std::max(largest, row.largest);
  }
  double relative() const { return a_squares > 0 ? std::sqrt(squares / a_squares) : 0; }
  std::string tooltip() const {
    return fmt::format(
        "{}{}: {} of {} numbers changed, relative norm {:.4g}, largest {:.4g}{}", first,
        tensors > 1 ? fmt::format(" and {} more", tensors - 1) : "", format_count(changed),
        format_count(elements), relative(), largest,
        not_finite > 0 ? fmt::format(", {} not finite", format_count(not_finite)) : "");
  }
  HeatMap::Cell shown() const { return {relative(), tooltip(), not_finite > 0}; }
};

std::string diff_heat(const CheckpointDiff& diff) {
  return layer_heat<DiffCell>(diff.tensors,
                              [](const auto& tensor) { return was_compared(tensor.change); });
}

std::string kind_cell(const TensorDiff& row, bool of_a) {
  if (row.change == (of_a ? WeightChange::kOnlyInB : WeightChange::kOnlyInA)) return "<td></td>";
  return "<td>" +
         html_text(fmt::format("{} {}", dtype_name(of_a ? row.dtype_a : row.dtype_b),
                               fmt::join(of_a ? row.shape_a : row.shape_b, " × "))) +
         "</td>";
}

std::string diff_row(const TensorDiff& row) {
  std::string change(change_name(row.change));
  if (!row.name_b.empty()) change += ", in B " + row.name_b + " (" + row.rule + ")";
  if (!row.layout.empty()) change += ", " + row.layout;
  std::string out = "<tr><td class=\"name\">" + html_text(row.name, 200) + "</td><td>" +
                    html_text(change, 300) + "</td>" + kind_cell(row, true) + kind_cell(row, false);
  if (!was_compared(row.change)) {
    for (int i = 0; i < 5; ++i) out += html_number_cell(-1, "");
    return out + "</tr>\n";
  }
  const double share = row.elements == 0 ? 0
                                         : 100.0 * static_cast<double>(row.changed) /
                                               static_cast<double>(row.elements);
  for (const double value : {share, row.largest, row.rms, row.relative_norm, row.cosine})
    out += html_number_cell(value);
  return out + "</tr>\n";
}

std::string keys_rows(const std::string& file, const std::vector<CheckpointDiff::Key>& keys) {
  std::string out;
  for (const auto& key : keys)
    out += "<tr><td class=\"name\">" + html_text(file) + "</td><td class=\"name\">" +
           html_text(key.key) + "</td><td>" + html_text(key.before, 120) + "</td><td>" +
           html_text(key.after, 120) + "</td></tr>\n";
  return out;
}

std::string words_text(const std::vector<std::string>& words) {
  return fmt::format("{}", fmt::join(words, "  "));
}

std::string tokenizer_rows(const TokenizerDiff& row) {
  const std::string none;
  std::vector<CheckpointDiff::Key> keys = {
      {"words", format_count(row.words_a), format_count(row.words_b)}};
  if (row.merges_changed)
    keys.push_back({"merges", format_count(row.merges_a), format_count(row.merges_b)});
  if (row.removed + row.added > 0)
    keys.push_back({"words only there",
                    format_count(row.removed) + ": " + words_text(row.removed_examples),
                    format_count(row.added) + ": " + words_text(row.added_examples)});
  if (row.moved > 0) keys.push_back({"words with another number", none, format_count(row.moved)});
  return keys_rows(row.path, keys) + keys_rows(row.path, row.keys);
}

std::string documents_html(const CheckpointDiff& diff) {
  if (diff.texts.empty() && diff.tokenizers.empty()) return {};
  std::string out =
      "<h2>Configuration, tokenizer, metadata</h2>\n<div class=\"scroll\"><table>\n<thead><tr>"
      "<th>where</th><th>what</th><th>A</th><th>B</th></tr></thead>\n<tbody>\n";
  for (const auto& text : diff.texts) {
    if (text.file.empty())
      out += keys_rows("metadata",
                       {{text.name.substr(text.name.find('.') + 1), text.before, text.after}});
    else if (text.keys.empty())
      out += keys_rows(text.name, {{text.file, "", ""}});
    out += keys_rows(text.name, text.keys);
  }
  for (const TokenizerDiff& row : diff.tokenizers) out += tokenizer_rows(row);
  return out + "</tbody></table></div>\n";
}

std::string diff_facts(const CheckpointDiff& diff) {
  std::map<WeightChange, std::uint64_t> kinds;
  for (const TensorDiff& row : diff.tensors) ++kinds[row.change];
  std::vector<std::pair<std::string, std::string>> facts = {
      {"A", diff.a}, {"B", diff.b}, {"result", diff.same ? "the same" : "different"}};
  for (const auto& [kind, count] : kinds)
    facts.emplace_back(change_name(kind), format_count(count) + " tensors");
  const TensorDiff& total = diff.total;
  facts.emplace_back("numbers changed",
                     format_count(total.changed) + " of " + format_count(total.elements));
  facts.emplace_back("largest, RMS", html_number(total.largest) + ", " + html_number(total.rms));
  facts.emplace_back("relative norm, cosine",
                     html_number(total.relative_norm) + ", " + fmt::format("{:.6f}", total.cosine));
  for (const std::string& guess : diff.guesses) facts.emplace_back("looks like", guess);
  return html_facts(facts);
}

}  // namespace

std::string diff_page(const CheckpointDiff& diff) {
  std::string body = "<h1>Difference of two checkpoints</h1>\n<p class=\"dim\">kilter diff</p>\n";
  body += diff_facts(diff) + documents_html(diff);
  body +=
      "<h2>Layers and parts</h2>\n<p class=\"dim\">Norm of the difference relative to A's; an "
      "outline marks NaN or infinities.</p>\n" +
      diff_heat(diff);
  body += "<h2>Tensors</h2>\n<div class=\"scroll\"><table class=\"sort\">\n<thead><tr>";
  for (const char* head : {"tensor", "change", "A", "B"}) body += fmt::format("<th>{}</th>", head);
  for (const char* head : {"% changed", "largest", "RMS", "relative norm", "cosine"})
    body += fmt::format("<th class=\"n\">{}</th>", head);
  body += "</tr></thead>\n<tbody>\n";
  for (const TensorDiff* row : shown_rows(diff, false)) body += diff_row(*row);
  for (const TensorDiff& row : diff.tensors)
    if (row.change == WeightChange::kIdentical || row.change == WeightChange::kEqualAfterRounding)
      body += diff_row(row);
  return html_page("difference of " + diff.a + " and " + diff.b, body + "</tbody></table></div>\n");
}

}  // namespace kilter::cli
