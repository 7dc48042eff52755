// kilter ema STORE@REF | A B C -o DST: moving averages over a series of checkpoints.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "kilter/series.h"
#include "kilter/store_steps.h"

#include "base/text.h"
#include "base/try.h"
#include "cli/command.h"
#include "cli/federated_options.h"
#include "cli/style.h"
#include "cli/weights_options.h"
#include "store/address.h"

namespace kilter::cli {

namespace {
namespace ema_command {

constexpr PositionalSpec kPositionals[] = {
    {"SRC", "A store (its steps up to a commit), or checkpoints from the oldest to the newest",
     true}};
constexpr OptionSpec kOwn[] = {
    {"-o,--output", ValueKind::kPath, "DST", "The file or folder to make; required"},
    {"--steps", ValueKind::kText, "A..B", "Of a store: steps A to B alone (\"100..\", \"..500\")"},
    {"--every", ValueKind::kCount, "N", "Of a store: only steps that are multiples of N"},
    {"--decay", ValueKind::kText, "D", "Keep D of the average at each checkpoint; default 0.999"},
    {"--half-life", ValueKind::kText, "N",
     "The decay that halves a checkpoint's part in N of them"},
    {"--warm-up", ValueKind::kFlag, "", "min(decay, (1 + n) / (10 + n)) at the n-th update"},
    {"--gamma", ValueKind::kText, "G", "Power function: decay (1 - 1/n)^(G + 1)"},
    {"--sigma-rel", ValueKind::kText, "S", "Power function of this relative width, as in EDM2"},
    {"--correct-bias", ValueKind::kFlag, "", "Begin at 0 and divide by what is missing from 1"},
    {"--post-hoc", ValueKind::kFlag, "",
     "SRC are power function averages that training kept: make that of --sigma-rel of them"},
    {"--stored-sigma", ValueKind::kText, "S,S",
     "With --post-hoc: the width of each SRC, or of all"},
    {"--stored-at", ValueKind::kText, "T,T",
     "With --post-hoc: when each SRC was taken (steps, images)"},
    {"--at", ValueKind::kText, "T",
     "With --post-hoc: the time to make it for; default: the latest"},
    {"-d,--dtype", ValueKind::kText, "DTYPE",
     "Write floats as f64, f32, bf16, f16, f8_e4m3 or f8_e5m2; default: as in the first SRC"},
};
constexpr auto kOptions = with_weights_options(kOwn);

Error usage(std::string message, std::string advice) {
  return Error(ErrorCode::kInvalidArgument, std::move(message)).advise(std::move(advice));
}

Result<std::optional<std::int64_t>> read_step(std::string_view text) {
  if (text.empty()) return std::optional<std::int64_t>();
  std::int64_t step = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), step);
  if (error != std::errc() || end != text.data() + text.size())
    return fail(usage("--steps wants whole numbers", "--steps 100..500"));
  return std::optional(step);
}

Result<StepSelection> read_selection(const Arguments& arguments) {
  StepSelection out;
  out.every = std::max(1U, arguments.count("every", 1));
  if (!arguments.has("steps")) return out;
  const std::string text = arguments.text("steps");
  const auto dots = text.find("..");
  if (dots == std::string::npos) return fail(usage("--steps wants A..B", "--steps 100..500"));
  KILTER_ASSIGN(out.first, read_step(std::string_view(text).substr(0, dots)));
  KILTER_ASSIGN(out.last, read_step(std::string_view(text).substr(dots + 2)));
  return out;
}

/// One store stands for its steps.
Result<std::vector<std::string>> find_sources(const Arguments& arguments) {
  const std::vector<std::string>& given = arguments.positionals;
  const bool selects = arguments.has("steps") || arguments.has("every");
  if (given.size() == 1 && is_store_address(given[0]) && !arguments.has("post-hoc")) {
    KILTER_ASSIGN(const StepSelection selection, read_selection(arguments));
    return store_steps(given[0], selection);
  }
  if (selects) return fail(usage("--steps and --every select from one store", "give STORE@BRANCH"));
  return given;
}

Result<EmaProfile> read_profile(const Arguments& arguments) {
  EmaProfile profile;
  const int decays = arguments.has("decay") + arguments.has("half-life");
  const int powers = arguments.has("gamma") + arguments.has("sigma-rel");
  if (decays + powers > 1)
    return fail(
        usage("more than one decay", "give one of --decay, --half-life, --gamma, --sigma-rel"));
  if (powers > 0 && arguments.has("warm-up"))
    return fail(usage("--warm-up goes with --decay", "power functions need none"));
  profile.correct_bias = arguments.has("correct-bias");
  if (arguments.has("decay")) {
    KILTER_ASSIGN(profile.decay, read_number(arguments.text("decay"), "--decay"));
  }
  if (arguments.has("half-life")) {
    KILTER_ASSIGN(const double life, read_number(arguments.text("half-life"), "--half-life"));
    profile.decay = std::exp2(-1 / life);
  }
  if (arguments.has("warm-up")) profile.kind = EmaProfile::Kind::kWarmUp;
  if (powers > 0) profile.kind = EmaProfile::Kind::kPower;
  if (arguments.has("gamma")) {
    KILTER_ASSIGN(profile.gamma, read_number(arguments.text("gamma"), "--gamma"));
  }
  if (arguments.has("sigma-rel")) {
    KILTER_ASSIGN(const double width, read_number(arguments.text("sigma-rel"), "--sigma-rel"));
    KILTER_ASSIGN(profile.gamma, power_ema_gamma(width));
  }
  return profile;
}

Result<EmaReport> make_post_hoc(const Arguments& arguments, const std::vector<std::string>& sources,
                                const BlendOptions& options) {
  for (const char* name : {"sigma-rel", "stored-sigma", "stored-at"})
    if (!arguments.has(name))
      return fail(usage(std::string("--post-hoc needs --") + name,
                        "--sigma-rel 0.1 --stored-sigma 0.05,0.05 --stored-at 1000,2000"));
  KILTER_ASSIGN(std::vector<double> widths, read_number_list(arguments, "stored-sigma"));
  KILTER_ASSIGN(const std::vector<double> times, read_number_list(arguments, "stored-at"));
  if (widths.size() == 1) widths.resize(sources.size(), widths[0]);
  if (widths.size() != sources.size() || times.size() != sources.size())
    return fail(usage("--stored-sigma and --stored-at want one number for each SRC",
                      std::to_string(sources.size()) + " of each"));
  std::vector<PowerEma> stored;
  for (std::size_t i = 0; i < sources.size(); ++i) stored.push_back({widths[i], times[i]});
  PowerEma wanted{0, *std::ranges::max_element(times)};
  KILTER_ASSIGN(wanted.sigma_rel, read_number(arguments.text("sigma-rel"), "--sigma-rel"));
  if (arguments.has("at")) {
    KILTER_ASSIGN(wanted.at, read_number(arguments.text("at"), "--at"));
  }
  return ema_post_hoc(sources, stored, wanted, arguments.text("output"), options);
}

Result<EmaReport> make(const Invocation& invocation) {
  const Arguments& arguments = invocation.arguments;
  if (!arguments.has("output")) return fail(usage("where shall it go?", "give -o DST"));
  BlendOptions options;
  KILTER_TRY(read_weights_options(invocation, options));
  if (arguments.has("dtype")) {
    KILTER_ASSIGN(options.dtype, read_float_dtype(arguments.text("dtype")));
  }
  KILTER_ASSIGN(const std::vector<std::string> sources, find_sources(arguments));
  const auto files = store::files_for(sources, &options.max_memory_bytes);
  options.open.files = files.get();
  if (arguments.has("post-hoc")) return make_post_hoc(arguments, sources, options);
  KILTER_ASSIGN(const EmaProfile profile, read_profile(arguments));
  return ema(sources, arguments.text("output"), profile, options);
}

/// The series in a few lines: its ends, and what was left out.
void print_series(const EmaReport& report) {
  const auto row = [&](std::size_t i) {
    std::printf("    %-10.4g %s\n", report.coefficients[i], escape_text(report.sources[i]).c_str());
  };
  const std::size_t count = report.sources.size();
  std::printf("  weights  of %s checkpoints\n", format_count(count).c_str());
  for (std::size_t i = 0; i < count; ++i) {
    if (count > 8 && i == 2) {
      std::printf("    …\n");
      i = count - 5;
    }
    row(i);
  }
  if (!report.dropped.empty())
    std::printf("    %s not read: less than 2^-60 of the sum\n",
                format_count(report.dropped.size()).c_str());
  if (report.fit_error)
    std::printf("  fit      what is left of the profile: %.3g %%\n", 100 * *report.fit_error);
}

int run(const Invocation& invocation) {
  const auto report = make(invocation);
  if (!report) return report_error(report.error(), invocation.terminal);
  if (invocation.terminal.json) {
    std::printf("%s\n", ema_json(*report).c_str());
    return 0;
  }
  WeightsReport plain = *report;
  if (plain.sources.size() > 3) plain.sources = {plain.sources.front(), "…", plain.sources.back()};
  const int status = print_weights(Result<WeightsReport>(std::move(plain)), invocation);
  print_series(*report);
  return status;
}

}  // namespace ema_command
}  // namespace

const CommandSpec kEmaCommand = {
    .name = "ema",
    .summary = "Average a run's checkpoints with a decay, after the fact",
    .description =
        "The exponential moving average of the checkpoints that there are, oldest first: average "
        "<- D "
        "* average + (1 - D) * checkpoint. D counts checkpoints, not the optimizer's steps between "
        "them. Computed as one weighted sum in binary64, rounded once. A store stands for the "
        "steps "
        "that lead to its commit, in their order; checkpoints whose part is below 2^-60 are not "
        "read.\n"
        "--sigma-rel and --gamma are the power function profile of Karras et al. (2024). "
        "--post-hoc "
        "takes averages of such profiles that training kept and makes another profile of them, by "
        "least squares; the part of the profile that they cannot give is printed.",
    .positionals = ema_command::kPositionals,
    .options = ema_command::kOptions,
    .examples =
        "kilter ema runs.kilter@main -o ema.safetensors --decay 0.9\n"
        "kilter ema runs.kilter --steps 1000..5000 --every 100 --half-life 10 -o ema.safetensors\n"
        "kilter ema a.pt b.pt c.pt --post-hoc --sigma-rel 0.07 --stored-sigma 0.05,0.1,0.1 \\\n"
        "    --stored-at 2000,1000,2000 -o ema.safetensors",
    .exit_statuses = kWeightsStatuses,
    .run = ema_command::run,
};

}  // namespace kilter::cli
