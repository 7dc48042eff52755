#include "cli/factor_options.h"

#include <algorithm>
#include <cstdio>
#include <map>

#include "base/text.h"
#include "base/try.h"
#include "cli/style.h"

namespace kilter::cli {
namespace {

constexpr std::size_t kFactorRowsMax = 5, kFactorReasonsMax = 5;

double share_of(double part, double whole) { return whole > 0 ? part / whole : 0; }

std::string module_line(const FactorReport::Module& module) {
  char text[160];
  std::snprintf(text, sizeof text, "[%zu, %zu]  rank %zu", module.rows, module.columns,
                module.rank);
  std::string out = text;
  if (module.rank_before > 0) out += " of " + std::to_string(module.rank_before);
  if (module.norm > 0) {
    std::snprintf(text, sizeof text, "  error %.3g %%, energy %.4g %%, next value %.3g",
                  100 * share_of(module.error, module.norm), 100 * module.energy, module.next);
    out += text;
  }
  return out;
}

void print_modules(const FactorReport& report, const Style& style, bool every) {
  std::vector<const FactorReport::Module*> rows;
  for (const auto& module : report.modules) rows.push_back(&module);
  if (!every)
    std::ranges::stable_sort(rows, [](const auto* a, const auto* b) {
      return share_of(a->error, a->norm) > share_of(b->error, b->norm);
    });
  const std::size_t shown = every ? rows.size() : std::min(rows.size(), kFactorRowsMax);
  if (report.dry_run && !every) return;
  for (std::size_t i = 0; i < shown; ++i)
    std::printf("    %s  %s\n", style.name(escape_text(rows[i]->name)).c_str(),
                module_line(*rows[i]).c_str());
  if (shown < rows.size()) std::printf("    … --report lists all %zu\n", rows.size());
}

void print_left_out(const FactorReport& report, const Style& style, bool every) {
  std::size_t shown = 0, more = 0;
  for (const auto& tensor : report.tensors) {
    if (tensor.fate != "left out") continue;
    if (!every && ++shown > kFactorReasonsMax) {
      ++more;
      continue;
    }
    std::printf("    %s  left out: %s\n", style.name(escape_text(tensor.name)).c_str(),
                escape_text(tensor.reason).c_str());
  }
  if (more > 0) std::printf("    … %zu more left out: --report lists all\n", more);
}

std::string rank_text(const FactorReport& report) {
  std::size_t least = report.modules.front().rank, most = least;
  for (const auto& module : report.modules) {
    least = std::min(least, module.rank);
    most = std::max(most, module.rank);
  }
  if (least == most) return std::to_string(least);
  return std::to_string(least) + " to " + std::to_string(most);
}

void print_factor_text(const FactorReport& report, const Terminal& terminal, bool every) {
  const Style style(terminal.colour_out);
  std::map<std::string, std::size_t> fates;
  for (const auto& tensor : report.tensors) ++fates[tensor.fate];
  std::string sources, tally;
  for (const std::string& source : report.sources)
    sources += (sources.empty() ? "" : ", ") + escape_text(source);
  for (const auto& [fate, count] : fates)
    tally += (tally.empty() ? "" : ", ") + format_count(count) + " " + fate;
  std::printf("%s: %s -> %s%s\n", report.verb.c_str(), sources.c_str(),
              escape_text(report.target_path).c_str(), report.dry_run ? ", nothing written" : "");
  if (!tally.empty()) std::printf("  tensors  %s\n", tally.c_str());
  if (!report.modules.empty())
    std::printf("  modules  %zu, rank %s%s\n", report.modules.size(),
                report.dry_run ? "at most " : "", rank_text(report).c_str());
  if (!report.dry_run && report.norm > 0)
    std::printf("  error    %.4g %% of the norm, measured on what was written (%.4g of %.4g)\n",
                100 * share_of(report.error, report.norm), report.error, report.norm);
  print_modules(report, style, every);
  if (report.left_out > 0)
    std::printf("  left out %s changed tensors, %s, norm %.3g\n",
                format_count(report.left_out).c_str(), format_bytes(report.left_out_bytes).c_str(),
                report.left_out_norm);
  print_left_out(report, style, every);
  for (const auto& [name, bytes] : report.files)
    std::printf("  file     %s  %s\n", escape_text(name).c_str(), format_bytes(bytes).c_str());
  if (!report.dry_run) std::printf("  took     %.2f s\n", report.seconds);
}

}  // namespace

Status read_factor_options(const Invocation& invocation, FactorOptions& options) {
  const Arguments& arguments = invocation.arguments;
  KILTER_TRY(read_weights_options(invocation, options));
  if (arguments.has("dtype")) {
    KILTER_ASSIGN(const DType dtype, read_float_dtype(arguments.text("dtype")));
    options.dtype = dtype;
  }
  options.naming = arguments.text("naming");
  const std::string split = arguments.text("split", "even");
  options.split = split == "up"     ? FactorSplit::kUp
                  : split == "down" ? FactorSplit::kDown
                                    : FactorSplit::kEven;
  return ok();
}

Result<std::size_t> read_rank(const Arguments& arguments, std::string_view name,
                              std::size_t otherwise) {
  if (!arguments.has(name)) return otherwise;
  const unsigned rank = arguments.count(name, 0);
  if (rank > 0) return rank;
  return fail(ErrorCode::kInvalidArgument, "--" + std::string(name) + " wants a number above 0");
}

Result<std::optional<double>> read_share(const Arguments& arguments, std::string_view name) {
  if (!arguments.has(name)) return std::optional<double>();
  KILTER_ASSIGN(const double share, read_number(arguments.text(name), "--" + std::string(name)));
  if (share > 0 && share <= 1) return std::optional(share);
  return fail(ErrorCode::kInvalidArgument,
              "--" + std::string(name) + " wants a share above 0 and at most 1");
}

Result<std::vector<double>> read_numbers(const std::string& text, std::string_view option) {
  std::vector<double> out;
  for (std::size_t at = 0; at <= text.size() && !text.empty();) {
    const auto comma = std::min(text.find(',', at), text.size());
    KILTER_ASSIGN(const double value, read_number(text.substr(at, comma - at), option));
    out.push_back(value);
    at = comma + 1;
  }
  return out;
}

int print_factors(const Result<FactorReport>& report, const Invocation& invocation) {
  if (!report) return report_error(report.error(), invocation.terminal);
  if (invocation.terminal.json)
    std::printf("%s\n", factor_json(*report).c_str());
  else
    print_factor_text(*report, invocation.terminal, invocation.arguments.has("report"));
  return 0;
}

}  // namespace kilter::cli
