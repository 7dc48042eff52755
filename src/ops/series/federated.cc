// One round of federated averaging.
#include "kilter/federated.h"

#include <charconv>
#include <cmath>
#include <random>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/try.h"
#include "ops/series/client_updates.h"
#include "ops/weights/blend.h"
#include "ops/weights/recipe_verbs.h"

namespace kilter {
namespace ops {
namespace {

constexpr const char* kFederatedVerb = "average-federated";

Status check_federated(const std::vector<std::string>& clients, const FederatedOptions& options) {
  const auto bad = [](std::string what) {
    return fail(ErrorCode::kInvalidArgument, std::move(what));
  };
  KILTER_TRY(check_blend_dtype(options));
  if (clients.empty()) return bad("there are no clients");
  if (!options.samples.empty() && options.samples.size() != clients.size())
    return fail(
        Error(ErrorCode::kInvalidArgument, "there must be one count of samples for each client")
            .wanted(std::to_string(clients.size()), std::to_string(options.samples.size())));
  if (options.equal && !options.samples.empty())
    return bad("equal weights and samples exclude each other");
  for (const auto& bound : {options.norm_max, options.ratio_max, options.clip})
    if (bound && !(*bound > 0 && std::isfinite(*bound))) return bad("bounds of norms are above 0");
  if (!(options.noise >= 0 && std::isfinite(options.noise))) return bad("the noise is at least 0");
  if (options.noise > 0 && !options.clip)
    return fail(Error(ErrorCode::kInvalidArgument, "noise needs a bound of each update")
                    .advise("give --clip C: without it no noise hides one client"));
  return ok();
}

/// base's, then one for each accepted client. The base's is exactly 0 where nothing is clipped.
std::vector<double> federated_coefficients(const std::vector<ClientUpdate>& clients) {
  std::vector<double> out = {0};
  double sum = 0;
  bool clipped = false;
  for (const ClientUpdate& client : clients) {
    if (!client.said.rejected.empty()) continue;
    out.push_back(client.said.weight * client.said.scale);
    sum += out.back();
    clipped = clipped || client.said.scale < 1;
  }
  if (clipped) out[0] = 1 - sum;
  return out;
}

std::uint64_t fresh_seed() {
  std::random_device device;  // the system's, not a generator of the library
  return std::uint64_t{device()} << 32 | device();
}

/// What people want to know of the round, in the recipe: its arithmetic is in the coefficients.
Json round_json(const FederatedOptions& options, const std::vector<ClientUpdate>& clients) {
  Json out = Json::object(), rows = Json::array();
  for (const ClientUpdate& client : clients) {
    Json row = {{"address", client.said.address}};
    if (!client.said.rejected.empty()) row["rejected"] = client.said.rejected;
    if (client.said.samples > 0) row["samples"] = client.said.samples;
    if (client.said.rejected.empty()) row["norm"] = client.said.norm;
    rows.push_back(std::move(row));
  }
  if (options.clip) out["clip"] = *options.clip;
  if (options.norm_max) out["max_norm"] = *options.norm_max;
  if (options.ratio_max) out["max_update_ratio"] = *options.ratio_max;
  if (options.noise > 0) out["noise"] = options.noise;
  out["clients"] = std::move(rows);
  return out;
}

class FederatedRound {
 public:
  FederatedRound(WeightsInput base, std::vector<ClientUpdate> clients,
                 const FederatedOptions& options)
      : base_(std::move(base)), clients_(std::move(clients)), options_(options) {}

  Result<FederatedReport> run(const std::string& target) {
    reject_misshapen(base_, options_, clients_);
    KILTER_TRY(measure_updates(base_, options_, clients_));
    KILTER_TRY(weigh_clients(options_, clients_));
    clip();
    Recipe recipe;
    BlendRequest request;
    request.verb = kFederatedVerb;
    request.coefficients = federated_coefficients(clients_);
    recipe.own["coefficients"] = request.coefficients;
    recipe.own["round"] = dump_json(round_json(options_, clients_), -1);
    KILTER_TRY(add_noise(request, recipe));
    for (const ClientUpdate& client : clients_) report_.clients.push_back(client.said);
    std::vector<WeightsInput> inputs;
    inputs.push_back(std::move(base_));
    for (ClientUpdate& client : clients_)
      if (client.said.rejected.empty()) inputs.push_back(*std::move(client.input));
    KILTER_TRY(run_blend(inputs, std::move(request), std::move(recipe), target, options_, report_));
    return std::move(report_);
  }

 private:
  void clip() {
    for (ClientUpdate& client : clients_)
      if (options_.clip && client.said.rejected.empty() && client.said.norm > *options_.clip)
        client.said.scale = *options_.clip / client.said.norm;
  }

  Status add_noise(BlendRequest& request, Recipe& recipe) {
    report_.delta = options_.delta;
    if (options_.noise == 0) return {};
    double largest = 0;
    for (const ClientUpdate& client : clients_)
      if (client.said.rejected.empty()) largest = std::max(largest, client.said.weight);
    report_.noise_deviation = options_.noise * *options_.clip * largest;
    KILTER_ASSIGN(report_.epsilon, gaussian_epsilon(options_.noise, options_.delta));
    request.noise = {options_.seed ? *options_.seed : fresh_seed(), report_.noise_deviation};
    recipe.own["noise_deviation"] = report_.noise_deviation;
    if (options_.seed) recipe.own["seed"] = std::to_string(*options_.seed);
    return {};
  }

  WeightsInput base_;
  std::vector<ClientUpdate> clients_;
  const FederatedOptions& options_;
  FederatedReport report_;
};

Result<std::optional<BlendNoise>> recorded_noise(const Recipe& recipe) {
  KILTER_ASSIGN(const double deviation, own_number(recipe, "noise_deviation", 0));
  if (deviation == 0) return std::optional<BlendNoise>();
  KILTER_ASSIGN(const std::string text, own_text(recipe, "seed"));
  if (text.empty())
    return fail(Error(ErrorCode::kUnsupported, "the noise's seed was kept out of the recipe")
                    .advise("an average with private noise cannot be made again"));
  BlendNoise noise{0, deviation};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), noise.seed);
  if (error != std::errc() || end != text.data() + text.size())
    return fail(ErrorCode::kMalformed, "the recipe has a seed that is no number");
  return std::optional(noise);
}

}  // namespace

Result<WeightsReport> follow_average_federated(const Recipe& recipe, const std::string& target,
                                               const WeightsOptions& how) {
  KILTER_TRY(check_own_keys(recipe, {"coefficients", "round", "noise_deviation", "seed", "dtype"}));
  auto options = options_for<BlendOptions>(how);
  KILTER_ASSIGN(options.dtype, own_dtype(recipe, "dtype"));
  KILTER_TRY(check_blend_dtype(options));
  BlendRequest request;
  request.verb = kFederatedVerb;
  KILTER_ASSIGN(request.coefficients, own_numbers(recipe, "coefficients"));
  KILTER_ASSIGN(request.noise, recorded_noise(recipe));
  if (request.coefficients.size() != recipe.inputs.size())
    return fail(ErrorCode::kMalformed, "the recipe's coefficients do not fit its inputs");
  std::vector<WeightsInput> inputs;
  for (const RecipeInput& one : recipe.inputs) {
    KILTER_ASSIGN(WeightsInput input, open_weights(one.address, options.open));
    inputs.push_back(std::move(input));
  }
  WeightsReport report;
  KILTER_TRY(run_blend(inputs, std::move(request), recipe, target, options, report));
  return report;
}

}  // namespace ops

Result<FederatedReport> average_federated(const std::string& base,
                                          const std::vector<std::string>& clients,
                                          const std::string& target,
                                          const FederatedOptions& options) {
  KILTER_TRY(ops::check_federated(clients, options));
  KILTER_ASSIGN(ops::WeightsInput input, ops::open_weights(base, options.open));
  KILTER_ASSIGN(std::vector<ops::ClientUpdate> updates, ops::open_clients(clients, options.open));
  return ops::FederatedRound(std::move(input), std::move(updates), options).run(target);
}

std::string federated_json(const FederatedReport& report) {
  auto out = parse_json(weights_json(report));
  KILTER_CHECK(out.has_value());
  Json clients = Json::array();
  for (const FederatedClient& client : report.clients) {
    Json row = {{"address", client.address},
                {"samples", client.samples},
                {"weight", client.weight},
                {"norm", client.norm},
                {"scale", client.scale}};
    if (!client.rejected.empty()) row["rejected"] = client.rejected;
    clients.push_back(std::move(row));
  }
  (*out)["clients"] = std::move(clients);
  if (report.epsilon) {
    (*out)["noise_deviation"] = report.noise_deviation;
    (*out)["epsilon"] = *report.epsilon;
    (*out)["delta"] = report.delta;
  }
  return dump_json(*out);
}

}  // namespace kilter
