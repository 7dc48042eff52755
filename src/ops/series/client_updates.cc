#include "ops/series/client_updates.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/text.h"
#include "base/try.h"
#include "ops/weights/tensor_pairs.h"
#include "tensor/kernels/float_values.h"

namespace kilter::ops {
namespace {

constexpr std::string_view kSampleKeys[] = {"num_samples", "num_examples", "sample_count",
                                            "n_samples"};

bool is_clients_fault(const Error& error) {
  return error.code == ErrorCode::kMalformed || error.code == ErrorCode::kCorrupt ||
         error.code == ErrorCode::kUnsupported || error.code == ErrorCode::kLimitExceeded;
}

std::string client_misfit(const WeightsInput& base, const WeightsInput& client,
                          const FederatedOptions& options) {
  const auto allowed = [&](Allow kind) { return options.allow.contains(kind); };
  for (std::size_t i = 0; i < base.names.size(); ++i) {
    const std::string& name = base.names[i];
    if (name.empty()) continue;
    const auto other = client.find(name);
    if (!other) {
      if (allowed(Allow::kMissing)) continue;
      return fmt::format("{} is missing", escape_text(name, 200));
    }
    const TensorInfo &ours = base.info(i), &its = client.info(*other);
    if (ours.shape != its.shape && !allowed(Allow::kShape))
      return fmt::format("{} has shape [{}], not [{}]", escape_text(name, 200),
                         fmt::join(its.shape, ", "), fmt::join(ours.shape, ", "));
    const bool floats = has_float_values(ours.dtype) && has_float_values(its.dtype);
    const bool fits = ours.dtype == its.dtype || (floats && options.dtype) ||
                      allowed(floats ? Allow::kDType : Allow::kValues);
    if (!fits)
      return fmt::format("{} is {}, not {}", escape_text(name, 200), dtype_name(its.dtype),
                         dtype_name(ours.dtype));
  }
  if (allowed(Allow::kExtra)) return "";
  for (const std::string& name : client.names)
    if (!name.empty() && !base.find(name))
      return fmt::format("{} is not in the base", escape_text(name, 200));
  return "";
}

std::vector<TensorPair> client_float_pairs(const WeightsInput& base, const WeightsInput& client) {
  std::vector<TensorPair> pairs;
  for (std::size_t i = 0; i < base.names.size(); ++i) {
    const auto other = base.names[i].empty() ? std::nullopt : client.find(base.names[i]);
    if (!other) continue;
    const TensorInfo &a = base.info(i), &b = client.info(*other);
    if (a.shape != b.shape || !has_float_values(a.dtype) || !has_float_values(b.dtype)) continue;
    pairs.push_back({&base, &client, i, *other, a.dtype, b.dtype, true, a.element_count()});
  }
  return pairs;
}

Status measure_update(const WeightsInput& base, const FederatedOptions& options,
                      ClientUpdate& client) {
  const std::vector<TensorPair> pairs = client_float_pairs(base, *client.input);
  KILTER_ASSIGN(const std::vector<PairSums> sums,
                sum_pairs(pairs, options.thread_count, options.context));
  double squares = 0;
  for (std::size_t p = 0; p < pairs.size(); ++p) {
    if (sums[p].sums.not_finite > 0 && client.said.rejected.empty())
      client.said.rejected =
          fmt::format("{} has {} numbers that are not finite",
                      escape_text(base.names[pairs[p].a], 200), sums[p].sums.not_finite);
    squares += sums[p].sums.squares;
  }
  client.said.norm = std::sqrt(squares);
  if (client.said.rejected.empty() && !std::isfinite(client.said.norm))
    client.said.rejected = "its update is too large for binary64";
  return {};
}

double median_norm(std::vector<double> values) {
  if (values.empty()) return 0;
  std::ranges::sort(values);
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

std::optional<double> number_of_samples(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// What a client says of itself.
std::optional<double> stated_samples(const CheckpointData& data) {
  for (const std::string_view key : kSampleKeys) {
    for (const auto& [name, value] : data.metadata)
      if (name == key)
        if (const auto number = number_of_samples(value)) return number;
    for (const Document& document : data.documents) {
      if (document.path != "config.json") continue;
      const auto config = parse_json(document.text);
      if (config && config->is_object() && config->contains(key) && (*config)[key].is_number())
        return (*config)[key].get<double>();
    }
    const StateId node = data.state.find_path({key});
    if (node == kNoState) continue;
    const StateNode& value = data.state[node];
    if (value.kind == StateKind::kInt) return static_cast<double>(value.integer);
    if (value.kind == StateKind::kFloat) return value.number;
  }
  return std::nullopt;
}

}  // namespace

Result<std::vector<ClientUpdate>> open_clients(const std::vector<std::string>& addresses,
                                               const OpenOptions& options) {
  std::vector<ClientUpdate> out;
  for (const std::string& address : addresses) {
    ClientUpdate& client = out.emplace_back();
    client.said.address = address;
    auto input = open_weights(address, options);
    if (input)
      client.input = *std::move(input);
    else if (is_clients_fault(input.error()))
      client.said.rejected = input.error().message;
    else
      return fail(std::move(input).error());
  }
  return out;
}

void reject_misshapen(const WeightsInput& base, const FederatedOptions& options,
                      std::vector<ClientUpdate>& clients) {
  for (ClientUpdate& client : clients)
    if (client.said.rejected.empty())
      client.said.rejected = client_misfit(base, *client.input, options);
}

Status measure_updates(const WeightsInput& base, const FederatedOptions& options,
                       std::vector<ClientUpdate>& clients) {
  std::vector<double> norms;
  for (ClientUpdate& client : clients) {
    if (!client.said.rejected.empty()) continue;
    KILTER_TRY(measure_update(base, options, client));
    if (client.said.rejected.empty()) norms.push_back(client.said.norm);
  }
  const double median = median_norm(norms);
  for (ClientUpdate& client : clients) {
    FederatedClient& said = client.said;
    if (!said.rejected.empty()) continue;
    if (options.norm_max && said.norm > *options.norm_max)
      said.rejected =
          fmt::format("its update's norm {:g} is above {:g}", said.norm, *options.norm_max);
    else if (options.ratio_max && said.norm > *options.ratio_max * median)
      said.rejected = fmt::format("its update's norm {:g} is more than {:g} times the median {:g}",
                                  said.norm, *options.ratio_max, median);
  }
  return {};
}

Status weigh_clients(const FederatedOptions& options, std::vector<ClientUpdate>& clients) {
  double total = 0;
  std::string unknown;
  for (std::size_t i = 0; i < clients.size(); ++i) {
    FederatedClient& said = clients[i].said;
    if (!said.rejected.empty()) continue;
    std::optional<double> samples = 1;
    if (!options.equal) {
      samples = options.samples.empty() ? stated_samples(clients[i].input->checkpoint.data())
                                        : options.samples[i];
      if (!samples || !(*samples > 0 && std::isfinite(*samples))) {
        unknown += (unknown.empty() ? "" : ", ") + escape_text(said.address, 200);
        continue;
      }
      said.samples = *samples;
    }
    said.weight = *samples;
    total += *samples;
  }
  if (!unknown.empty())
    return fail(
        Error(ErrorCode::kInvalidArgument, "no count of samples above 0 is stated by " + unknown)
            .advise("metadata num_samples, num_examples, sample_count or n_samples; or "
                    "--samples N,N; or --equal"));
  if (total == 0)
    return fail(Error(ErrorCode::kInvalidArgument, "every client was rejected")
                    .advise("the first one: " +
                            (clients.empty() ? "there is none" : clients[0].said.rejected)));
  for (ClientUpdate& client : clients)
    if (client.said.rejected.empty()) client.said.weight /= total;
  return {};
}

}  // namespace kilter::ops
