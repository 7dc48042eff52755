#include "cli/stats_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>
#include <numeric>

#include "base/text.h"
#include "cli/spark.h"
#include "cli/style.h"
#include "cli/wrap.h"

namespace kilter::cli {
namespace {

constexpr std::size_t kStatsRowsMax = 40;  // more with --all
constexpr std::size_t kStatsSparkColumns = 16, kStatsNumberColumns = 10;

std::string stats_number(double value) { return fmt::format("{:.4g}", value); }

void add_note(std::string& notes, const std::string& note) {
  notes += (notes.empty() ? "" : ", ") + note;
}

std::string counted(std::uint64_t count, const char* noun) {
  return format_count(count) + " " + noun + (count == 1 ? "" : "s");
}

void add_channel_notes(std::string& notes, const std::optional<ChannelStats>& channels,
                       const char* kind) {
  if (!channels) return;
  if (channels->dead > 0)
    add_note(notes, counted(channels->dead, (std::string("dead ") + kind).c_str()));
  if (channels->outlier_count == 0) return;
  std::vector<std::uint64_t> indices;
  for (const auto& [index, norm] : channels->outliers) indices.push_back(index);
  add_note(
      notes,
      fmt::format("{}: {}{}",
                  counted(channels->outlier_count, (std::string("outlier ") + kind).c_str()),
                  fmt::join(indices, " "), channels->outlier_count > indices.size() ? " …" : ""));
}

double zero_share(const NumberStats& row) {
  return row.numbers == 0 ? 0 : static_cast<double>(row.zero) / static_cast<double>(row.numbers);
}

/// How much a tensor asks to be looked at: the lower the sooner.
int notable_class(const TensorStats& row) {
  if (row.numbers.nan + row.numbers.infinite > 0) return 0;
  const auto dead = [](const auto& channels) { return channels && channels->dead > 0; };
  const auto outlying = [](const auto& channels) {
    return channels && channels->outlier_count > 0;
  };
  if (dead(row.rows) || dead(row.columns)) return 1;
  return outlying(row.rows) || outlying(row.columns) ? 2 : 3;
}

double sort_value(const TensorStats& row, std::string_view sort) {
  if (sort == "size") return static_cast<double>(row.numbers.numbers);
  if (sort == "deviation") return row.numbers.deviation;
  if (sort == "largest") return row.numbers.largest;
  return row.numbers.kurtosis;
}

/// The end of a name says more than its beginning.
std::string short_name(const std::string& name, std::size_t columns) {
  const std::string whole = escape_text(name);
  if (display_columns(whole) <= columns) return whole;
  std::size_t from = whole.size() - std::min(whole.size(), columns - 1);
  while (from < whole.size() && (static_cast<unsigned char>(whole[from]) & 0xC0) == 0x80) ++from;
  return "…" + whole.substr(from);
}

class StatsTable {
 public:
  StatsTable(const CheckpointStats& stats, const Terminal& terminal)
      : stats_(stats), style_(terminal.colour_out) {
    const auto width = static_cast<std::size_t>(std::max(terminal.width_columns, 40));
    columns_ = {"deviation", "min", "max"};
    const std::size_t plain = 3 * (kStatsNumberColumns + 1) + kStatsSparkColumns + 2;
    std::size_t left = width > plain + 20 ? width - plain : 20;
    if (left >= 20 + 2 * (kStatsNumberColumns + 1)) {
      columns_ = {"mean", "deviation", "min", "max", "kurtosis"};
      left -= 2 * (kStatsNumberColumns + 1);
    }
    std::size_t longest = 6;
    for (const TensorStats& row : stats.tensors)
      longest = std::max(longest, display_columns(escape_text(row.name)));
    shapes_ = left >= std::min<std::size_t>(longest, 40) + kKindColumns + 1;
    if (shapes_) left -= kKindColumns + 1;
    name_columns_ = std::min(longest, left);
  }

  void print_head() const {
    std::string line = padded("tensor", name_columns_) + " ";
    if (shapes_) line += padded("dtype", kKindColumns) + " ";
    for (const std::string& column : columns_)
      line += fmt::format("{:>{}} ", column, kStatsNumberColumns);
    std::printf("%s\n", style_.dim(line + " histogram").c_str());
  }

  void print_row(const TensorStats& row) const {
    std::string line =
        style_.name(padded(short_name(row.name, name_columns_), name_columns_)) + " ";
    if (shapes_)
      line += padded(fmt::format("{} [{}]", dtype_name(row.dtype), fmt::join(row.shape, ", ")),
                     kKindColumns) +
              " ";
    if (row.has_numbers && row.numbers.finite > 0) line += numbers_of(row.numbers);
    std::printf("%s\n", line.c_str());
    if (const std::string notes = stats_notes(row); !notes.empty())
      std::printf("  %s\n", style_.warn(notes).c_str());
  }

  void print_total() const {
    const NumberStats& total = stats_.total;
    std::printf("%s of %s numbers in %s tensors\n", style_.bold("in all").c_str(),
                format_count(total.numbers).c_str(), format_count(stats_.tensors.size()).c_str());
    if (total.finite == 0) return;
    std::printf("  mean       %s, deviation %s, kurtosis %s\n", stats_number(total.mean).c_str(),
                stats_number(total.deviation).c_str(), stats_number(total.kurtosis).c_str());
    std::printf("  range      %s to %s, L1 %s, L2 %s\n", stats_number(total.min).c_str(),
                stats_number(total.max).c_str(), stats_number(total.l1).c_str(),
                stats_number(total.l2).c_str());
    std::printf("  zeros      %.3g %%, subnormal %s, NaN %s, infinite %s\n",
                100 * zero_share(total), format_count(total.subnormal).c_str(),
                format_count(total.nan).c_str(), format_count(total.infinite).c_str());
    const ValueHistogram& bins = total.histogram;
    print_bars("histogram", bins.counts, stats_number(bins.first),
               stats_number(bins.first + bins.width * static_cast<double>(bins.counts.size())));
    const ExponentHistogram& sizes = total.exponents;
    print_bars("exponents", sizes.counts, fmt::format("2^{}", sizes.first),
               fmt::format("2^{}", sizes.first + static_cast<int>(sizes.counts.size())));
  }

 private:
  static constexpr std::size_t kKindColumns = 20;

  std::string numbers_of(const NumberStats& row) const {
    std::string line;
    for (const std::string& column : columns_) {
      const double value = column == "mean"        ? row.mean
                           : column == "deviation" ? row.deviation
                           : column == "min"       ? row.min
                           : column == "max"       ? row.max
                                                   : row.kurtosis;
      line += fmt::format("{:>{}} ", stats_number(value), kStatsNumberColumns);
    }
    return line + " " + spark_line(row.histogram.counts, kStatsSparkColumns);
  }

  static void print_bars(const char* title, const std::vector<std::uint64_t>& counts,
                         const std::string& from, const std::string& to) {
    if (counts.empty()) return;
    std::printf("  %-10s %s %s %s\n", title, from.c_str(), spark_line(counts, 32).c_str(),
                to.c_str());
  }

  const CheckpointStats& stats_;
  Style style_;
  std::vector<std::string> columns_;
  bool shapes_ = false;
  std::size_t name_columns_ = 0;
};

}  // namespace

std::string stats_notes(const TensorStats& row) {
  std::string notes;
  if (!row.has_numbers) return "raw bits, no numbers";
  const NumberStats& numbers = row.numbers;
  if (numbers.nan > 0) add_note(notes, format_count(numbers.nan) + " NaN");
  if (numbers.infinite > 0) add_note(notes, format_count(numbers.infinite) + " infinite");
  if (numbers.numbers > 0 && numbers.zero == numbers.numbers) {
    add_note(notes, "all zero");
    return notes;
  }
  add_channel_notes(notes, row.rows, "row");
  add_channel_notes(notes, row.columns, "column");
  if (zero_share(numbers) >= 0.05)
    add_note(notes, fmt::format("{:.3g} % zero", 100 * zero_share(numbers)));
  if (numbers.subnormal > 0) add_note(notes, format_count(numbers.subnormal) + " subnormal");
  return notes;
}

std::vector<std::size_t> sorted_stats(const CheckpointStats& stats, std::string_view sort) {
  std::vector<std::size_t> rows(stats.tensors.size());
  std::iota(rows.begin(), rows.end(), std::size_t{0});
  const auto before = [&](std::size_t x, std::size_t y) {
    const TensorStats &a = stats.tensors[x], &b = stats.tensors[y];
    if (sort == "name") return a.name < b.name;
    if (sort == "notable" && notable_class(a) != notable_class(b))
      return notable_class(a) < notable_class(b);
    return sort_value(a, sort) > sort_value(b, sort);
  };
  if (sort != "file") std::ranges::stable_sort(rows, before);
  return rows;
}

void print_checkpoint_stats(const CheckpointStats& stats, const Terminal& terminal,
                            const StatsView& view) {
  const StatsTable table(stats, terminal);
  const std::vector<std::size_t> rows = sorted_stats(stats, view.sort);
  const std::size_t count = view.all ? rows.size() : std::min(rows.size(), kStatsRowsMax);
  if (count > 0) table.print_head();
  for (std::size_t i = 0; i < count; ++i) table.print_row(stats.tensors[rows[i]]);
  if (count < rows.size())
    std::printf("… %s more: --all lists them\n", format_count(rows.size() - count).c_str());
  table.print_total();
}

}  // namespace kilter::cli
