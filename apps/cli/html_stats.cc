// The page of kilter stats.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <vector>

#include "base/text.h"
#include "cli/html_heat.h"
#include "cli/html_page.h"
#include "cli/html_reports.h"
#include "cli/stats_text.h"

namespace kilter::cli {
namespace {

/// The tensors of one layer and part.
struct StatsCell {
  std::uint64_t tensors = 0, numbers = 0, finite = 0, zero = 0, broken = 0;
  double squares = 0, min = 0, max = 0, kurtosis = 0;
  std::string first;  // a name

  void add(const TensorStats& row) {
    const NumberStats& numbers_of_row = row.numbers;
    if (tensors++ == 0) {
      first = row.name;
      min = numbers_of_row.min;
      max = numbers_of_row.max;
      kurtosis = numbers_of_row.kurtosis;
    }
    numbers += numbers_of_row.numbers;
    finite += numbers_of_row.finite;
    zero += numbers_of_row.zero;
    broken += numbers_of_row.nan + numbers_of_row.infinite;
    squares += numbers_of_row.l2 * numbers_of_row.l2;
    min = std::min(min, numbers_of_row.min);
    max = std::max(max, numbers_of_row.max);
    kurtosis = std::max(kurtosis, numbers_of_row.kurtosis);
  }
  double rms() const { return finite == 0 ? 0 : std::sqrt(squares / static_cast<double>(finite)); }
  std::string tooltip() const {
    return fmt::format(
        "{}{}, {} numbers, RMS {:.4g}, from {:.4g} to {:.4g}, kurtosis {:.4g}, {} zero{}", first,
        tensors > 1 ? fmt::format(" and {} more", tensors - 1) : "", format_count(numbers), rms(),
        min, max, kurtosis, format_count(zero),
        broken > 0 ? fmt::format(", {} NaN or infinite", format_count(broken)) : "");
  }
  HeatMap::Cell shown() const { return {rms(), tooltip(), broken > 0}; }
};

std::string stats_heat(const CheckpointStats& stats) {
  return layer_heat<StatsCell>(stats.tensors,
                               [](const auto& tensor) { return tensor.has_numbers; });
}

std::string stats_row(const TensorStats& row) {
  const NumberStats& numbers = row.numbers;
  std::string out = "<tr><td class=\"name\">" + html_text(row.name, 200) + "</td><td>" +
                    html_text(dtype_name(row.dtype)) + "</td><td>" +
                    html_text(fmt::format("{}", fmt::join(row.shape, " × "))) + "</td>";
  out += html_number_cell(static_cast<double>(numbers.numbers), format_count(numbers.numbers));
  for (const double value :
       {numbers.mean, numbers.deviation, numbers.min, numbers.max, numbers.l2, numbers.kurtosis})
    out += html_number_cell(value);
  const ValueHistogram& bins = numbers.histogram;
  const double last = bins.first + bins.width * static_cast<double>(bins.counts.size());
  out += "<td>" +
         html_bars(bins.counts,
                   fmt::format("{:.4g} to {:.4g}, {} bins", bins.first, last, bins.counts.size())) +
         "</td>";
  return out + "<td class=\"warn\">" + html_text(stats_notes(row)) + "</td></tr>\n";
}

std::string stats_facts(const CheckpointStats& stats) {
  const NumberStats& total = stats.total;
  return html_facts({
      {"tensors", format_count(stats.tensors.size())},
      {"numbers in tensors of floats", format_count(total.numbers)},
      {"mean, deviation", html_number(total.mean) + ", " + html_number(total.deviation)},
      {"range", html_number(total.min) + " to " + html_number(total.max)},
      {"L1, L2", html_number(total.l1) + ", " + html_number(total.l2)},
      {"skewness, kurtosis", html_number(total.skewness) + ", " + html_number(total.kurtosis)},
      {"zero, subnormal", format_count(total.zero) + ", " + format_count(total.subnormal)},
      {"NaN, infinite", format_count(total.nan) + ", " + format_count(total.infinite)},
  });
}

}  // namespace

std::string stats_page(const CheckpointStats& stats) {
  std::string body =
      "<h1>" + html_text(stats.address) + "</h1>\n<p class=\"dim\">kilter stats</p>\n";
  body += stats_facts(stats);
  body +=
      "<h2>Sizes of all numbers</h2>\n<p class=\"dim\">How many lie between one power of two "
      "and the next.</p>\n" +
      html_bars(stats.total.exponents.counts,
                fmt::format("2^{} to 2^{}", stats.total.exponents.first,
                            stats.total.exponents.first +
                                static_cast<int>(stats.total.exponents.counts.size())));
  body +=
      "<h2>Layers and parts</h2>\n<p class=\"dim\">Root mean square of the weights; an outline "
      "marks NaN or infinities.</p>\n" +
      stats_heat(stats);
  body += "<h2>Tensors</h2>\n<div class=\"scroll\"><table class=\"sort\">\n<thead><tr>";
  for (const char* head : {"tensor", "dtype", "shape"}) body += fmt::format("<th>{}</th>", head);
  for (const char* head : {"numbers", "mean", "deviation", "min", "max", "L2", "kurtosis"})
    body += fmt::format("<th class=\"n\">{}</th>", head);
  body += "<th>histogram</th><th>notes</th></tr></thead>\n<tbody>\n";
  for (const std::size_t row : sorted_stats(stats, "notable"))
    body += stats_row(stats.tensors[row]);
  return html_page("stats of " + stats.address, body + "</tbody></table></div>\n");
}

}  // namespace kilter::cli
