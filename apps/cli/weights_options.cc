#include "cli/weights_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <map>
#include <optional>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/text.h"
#include "base/try.h"
#include "cli/evaluation.h"
#include "cli/style.h"

namespace kilter::cli {
namespace {

constexpr std::size_t kWeightRowsMax = 20;  // the full list is in --json and --report

double percent_of(std::uint64_t part, std::uint64_t all) {
  return all == 0 ? 0 : 100.0 * static_cast<double>(part) / static_cast<double>(all);
}

std::string describe(const WeightsReport::Tensor& tensor) {
  std::string out = tensor.fate;
  if (tensor.from != tensor.to)
    out += " " + std::string(dtype_name(tensor.from)) + " -> " + std::string(dtype_name(tensor.to));
  if (!tensor.reason.empty()) out += ": " + escape_text(tensor.reason);
  if (tensor.counted)
    out += fmt::format(", {:.2f} % zeros, before {:.2f} %",
                       percent_of(tensor.zeros_after, tensor.elements),
                       percent_of(tensor.zeros_before, tensor.elements));
  if (tensor.too_large > 0) out += ", " + format_count(tensor.too_large) + " too large";
  return out;
}

void print_rows(const WeightsReport& report, const Style& style, bool every) {
  std::size_t shown = 0, left = 0;
  for (const auto& tensor : report.tensors) {
    const bool plain = tensor.reason.empty() && tensor.too_large == 0 && !tensor.counted;
    if (!every && plain) continue;
    if (!every && ++shown > kWeightRowsMax) {
      ++left;
      continue;
    }
    std::printf("    %s  %s\n", style.name(escape_text(tensor.name)).c_str(),
                describe(tensor).c_str());
  }
  if (left > 0) std::printf("    … %s more: --report lists all\n", format_count(left).c_str());
}

/// What went along, and what did not: values that are no tensors, and files beside them.
void print_other_values(const WeightsReport& report, const Style& style, bool every) {
  std::map<std::string, std::size_t> fates;
  for (const auto& value : report.values) ++fates[value.fate];
  if (fates.empty()) return;
  std::string tally;
  for (const auto& [fate, count] : fates)
    tally += (tally.empty() ? "" : ", ") + format_count(count) + " " + fate;
  std::printf("  values   %s\n", tally.c_str());
  std::size_t shown = 0, left = 0;
  for (const auto& value : report.values) {
    if (!every && value.fate == "kept") continue;
    if (!every && ++shown > kWeightRowsMax) {
      ++left;
      continue;
    }
    std::printf("    %s  %s%s\n", style.name(escape_text(value.path)).c_str(), value.fate.c_str(),
                value.reason.empty() ? "" : style.dim(": " + escape_text(value.reason)).c_str());
  }
  if (left > 0) std::printf("    … %s more: --report lists all\n", format_count(left).c_str());
}

/// What rounding or pruning did: in all, and where most.
void print_errors(const WeightsReport& report, const Style& style) {
  std::vector<const WeightsReport::Tensor*> worst;
  for (const auto& tensor : report.tensors)
    if (tensor.measured && tensor.rms_error > 0) worst.push_back(&tensor);
  const bool measured =
      std::ranges::any_of(report.tensors, [](const auto& tensor) { return tensor.measured; });
  if (report.elements > 0)
    std::printf("  zeros    %.2f %% of %s, before %.2f %%\n",
                percent_of(report.zeros_after, report.elements),
                format_quantity(report.elements).c_str(),
                percent_of(report.zeros_before, report.elements));
  if (!measured) return;
  std::printf("  error    RMS %.3g, largest %.3g, cosine %.9f\n", report.rms_error,
              report.largest_error, report.cosine);
  std::ranges::stable_sort(worst,
                           [](const auto* a, const auto* b) { return a->cosine < b->cosine; });
  for (std::size_t i = 0; i < std::min<std::size_t>(worst.size(), 3); ++i)
    std::printf("    %s  RMS %.3g, largest %.3g, cosine %.9f\n",
                style.name(escape_text(worst[i]->name)).c_str(), worst[i]->rms_error,
                worst[i]->largest_error, worst[i]->cosine);
}

/// As exactly as an estimate deserves.
std::string about_seconds(double seconds) {
  char text[32];
  if (seconds < 60)
    std::snprintf(text, sizeof text, seconds < 10 ? "%.1f s" : "%.0f s", seconds);
  else
    std::snprintf(text, sizeof text, "%.0f min", seconds / 60);
  return text;
}

void print_evaluation(const char* when, const Evaluation& one) {
  const std::string result = one.result.empty() ? "no number" : escape_text(one.result);
  std::printf("  eval     %s  %s (exit status %d, %.2f s)\n", when, result.c_str(), one.exit_status,
              one.seconds);
}

void print_text(const WeightsReport& report, const Terminal& terminal, bool every) {
  const Style style(terminal.colour_out);
  std::map<std::string, std::size_t> fates;
  for (const auto& tensor : report.tensors) ++fates[tensor.fate];
  std::string sources, tally;
  for (const std::string& source : report.sources)
    sources += (sources.empty() ? "" : " + ") + escape_text(source);
  for (const auto& [fate, count] : fates)
    tally += (tally.empty() ? "" : ", ") + format_count(count) + " " + fate;
  std::printf("%s: %s -> %s (%s)%s\n", report.verb.c_str(), sources.c_str(),
              escape_text(report.target_path).c_str(), report.target_format.c_str(),
              report.dry_run ? ", nothing written" : "");
  std::printf("  tensors  %s\n", tally.c_str());
  print_rows(report, style, every);
  print_other_values(report, style, every);
  print_errors(report, style);
  for (const std::string& note : report.notes)
    std::printf("  note     %s\n", escape_text(note).c_str());
  for (const auto& [name, bytes] : report.files)
    std::printf("  file     %s  %s\n", escape_text(name).c_str(), format_bytes(bytes).c_str());
  if (report.saved_bytes) std::printf("  saved    %s\n", format_bytes(*report.saved_bytes).c_str());
  if (report.estimate)
    std::printf("  memory   %s of buffers at most\n  time     about %s to read and compute\n",
                format_bytes(report.estimate->memory_bytes).c_str(),
                about_seconds(report.estimate->seconds).c_str());
  if (report.resumed_bytes > 0)
    std::printf("  resumed  %s were there\n", format_bytes(report.resumed_bytes).c_str());
  if (report.dry_run || report.seconds <= 0) return;
  std::printf("  written  %s in %.2f s (%s)\n", format_bytes(report.written_bytes).c_str(),
              report.seconds,
              format_rate(static_cast<double>(report.written_bytes) / report.seconds).c_str());
}

}  // namespace

Status read_weights_options(const Invocation& invocation, WeightsOptions& options) {
  const Arguments& arguments = invocation.arguments;
  options.to = arguments.text("to");
  options.shard_bytes_max = arguments.bytes("max-shard-size", 0);
  options.dry_run = arguments.has("dry-run");
  options.force = arguments.has("force");
  options.resume = arguments.has("resume");
  options.max_memory_bytes = arguments.bytes("max-memory", options.max_memory_bytes);
  options.thread_count = arguments.count("threads", 0);
  options.direct_io = !arguments.has("buffered");
  options.context = invocation.context;
  for (const std::string& name : arguments.all("allow")) {
    const auto allow = allow_from_name(name);
    if (!allow)
      return fail(Error(ErrorCode::kInvalidArgument, "--allow does not know '" + name + "'")
                      .advise("one of missing, extra, shape, dtype, values, nonfinite, overflow"));
    options.allow.insert(*allow);
  }
  return ok();
}

Result<DType> read_float_dtype(const std::string& name) {
  if (name == "f8_e4m3") return DType::kF8E4M3FN;
  if (const auto dtype = dtype_from_name(name)) return *dtype;
  if (const auto dtype = dtype_from_torch(name)) return *dtype;
  return fail(Error(ErrorCode::kInvalidArgument, "no dtype is called '" + name + "'")
                  .advise("one of f64, f32, bf16, f16, f8_e4m3, f8_e5m2"));
}

Result<double> read_number(const std::string& text, std::string_view option) {
  double value = 0;
  const char* const end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, value);
  if (error == std::errc() && stopped == end && !text.empty()) return value;
  return fail(ErrorCode::kInvalidArgument,
              std::string(option) + " wants a number, not '" + text + "'");
}

int print_weights(const Result<WeightsReport>& report, const Invocation& invocation) {
  if (!report) return report_error(report.error(), invocation.terminal);
  const Terminal& terminal = invocation.terminal;
  std::optional<Evaluations> evaluations;
  if (invocation.arguments.has("eval") && !report->dry_run) {
    auto both = evaluate_both(invocation.arguments.text("eval"), report->sources.front(),
                              report->target_path);
    if (!both) return report_error(both.error(), terminal);
    evaluations = *std::move(both);
  }
  if (terminal.json) {
    auto json = parse_json(weights_json(*report));
    if (evaluations && json) (*json)["evaluation"] = evaluations_json(*evaluations);
    std::printf("%s\n", json ? dump_json(*json).c_str() : weights_json(*report).c_str());
  } else {
    print_text(*report, terminal, invocation.arguments.has("report"));
    if (evaluations) {
      print_evaluation("before", evaluations->before);
      print_evaluation("after ", evaluations->after);
    }
  }
  return evaluations && evaluations->failed() ? 1 : 0;
}

}  // namespace kilter::cli
