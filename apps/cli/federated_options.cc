#include "cli/federated_options.h"

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "base/text.h"
#include "base/try.h"
#include "cli/style.h"
#include "cli/weights_options.h"
#include "store/address.h"

namespace kilter::cli {
namespace {

Result<std::optional<double>> read_bound(const Arguments& arguments, std::string_view name) {
  if (!arguments.has(name)) return std::optional<double>();
  KILTER_ASSIGN(const double value, read_number(arguments.text(name), "--" + std::string(name)));
  return std::optional(value);
}

Result<std::optional<std::uint64_t>> read_seed(const Arguments& arguments) {
  if (!arguments.has("seed")) return std::optional<std::uint64_t>();
  const std::string text = arguments.text("seed");
  std::uint64_t seed = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seed);
  if (error == std::errc() && end == text.data() + text.size()) return std::optional(seed);
  return fail(Error(ErrorCode::kInvalidArgument, "--seed wants a whole number")
                  .wanted("0 to 2^64 - 1", text));
}

void print_client(const FederatedClient& client, const Style& style) {
  const std::string name = style.name(escape_text(client.address));
  if (!client.rejected.empty()) {
    std::printf("    %s  %s: %s\n", name.c_str(), style.bad("rejected").c_str(),
                client.rejected.c_str());
    return;
  }
  std::printf("    %s  weight %.6g, update's norm %.6g", name.c_str(), client.weight, client.norm);
  if (client.samples > 0) std::printf(", %.0f samples", client.samples);
  if (client.scale < 1) std::printf(", clipped to %.3g of it", client.scale);
  std::printf("\n");
}

void print_bound(const FederatedReport& report, bool seeded) {
  if (!report.epsilon) return;
  std::printf("  noise    deviation %.6g of each number\n", report.noise_deviation);
  std::printf("  privacy  epsilon %.6g at delta %g for this round\n", *report.epsilon,
              report.delta);
  std::printf(
      "           That is: whether any one accepted client sent its update or none (zero), the "
      "rest\n"
      "           and all weights unchanged. Rejections and weights count as public; no credit is\n"
      "           given for sampling clients, and rounds add up.\n");
  std::printf(seeded
                  ? "           The seed is in the recipe: the bound holds against those who have "
                    "neither.\n"
                  : "           The seed was drawn afresh and is kept nowhere.\n");
}

}  // namespace

Result<std::vector<double>> read_number_list(const Arguments& arguments, std::string_view name) {
  std::vector<double> out;
  const std::string text = arguments.text(name);
  for (std::size_t at = 0; at <= text.size() && !text.empty();) {
    const auto comma = std::min(text.find(',', at), text.size());
    KILTER_ASSIGN(out.emplace_back(),
                  read_number(text.substr(at, comma - at), "--" + std::string(name)));
    at = comma + 1;
  }
  return out;
}

Result<FederatedReport> make_federated(const Invocation& invocation,
                                       const std::vector<std::string>& sources) {
  const Arguments& arguments = invocation.arguments;
  if (!arguments.has("base"))
    return fail(
        Error(ErrorCode::kInvalidArgument, "--federated needs the model the clients were given")
            .advise("give --base G"));
  if (arguments.has("weights"))
    return fail(Error(ErrorCode::kInvalidArgument, "--weights goes without --federated")
                    .advise("give --samples"));
  FederatedOptions options;
  KILTER_TRY(read_weights_options(invocation, options));
  if (arguments.has("dtype")) {
    KILTER_ASSIGN(options.dtype, read_float_dtype(arguments.text("dtype")));
  }
  KILTER_ASSIGN(options.samples, read_number_list(arguments, "samples"));
  options.equal = arguments.has("equal");
  KILTER_ASSIGN(options.norm_max, read_bound(arguments, "max-norm"));
  KILTER_ASSIGN(options.ratio_max, read_bound(arguments, "max-update-ratio"));
  KILTER_ASSIGN(options.clip, read_bound(arguments, "clip"));
  KILTER_ASSIGN(const std::optional<double> noise, read_bound(arguments, "noise"));
  KILTER_ASSIGN(const std::optional<double> delta, read_bound(arguments, "delta"));
  KILTER_ASSIGN(options.seed, read_seed(arguments));
  options.noise = noise.value_or(options.noise);
  options.delta = delta.value_or(options.delta);
  std::vector<std::string> addresses = sources;
  addresses.push_back(arguments.text("base"));
  const auto files = store::files_for(addresses, &options.max_memory_bytes);
  options.open.files = files.get();
  return average_federated(arguments.text("base"), sources, arguments.text("output"), options);
}

int print_federated(const Result<FederatedReport>& report, const Invocation& invocation) {
  if (!report) return report_error(report.error(), invocation.terminal);
  if (invocation.terminal.json) {
    std::printf("%s\n", federated_json(*report).c_str());
    return 0;
  }
  const int status = print_weights(Result<WeightsReport>(*report), invocation);
  const Style style(invocation.terminal.colour_out);
  const auto rejected = std::ranges::count_if(
      report->clients, [](const FederatedClient& client) { return !client.rejected.empty(); });
  std::printf("  clients  %zu, %zu rejected\n", report->clients.size(),
              static_cast<std::size_t>(rejected));
  for (const FederatedClient& client : report->clients) print_client(client, style);
  print_bound(*report, invocation.arguments.has("seed"));
  return status;
}

}  // namespace kilter::cli
