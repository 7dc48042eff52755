#include "model.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace charlm {

Parameter::Parameter(std::string called, int row_count, int column_count)
    : name(std::move(called)), rows(row_count), columns(column_count) {
  const auto count = static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns);
  for (auto* numbers : {&value, &gradient, &exp_avg, &exp_avg_sq}) numbers->assign(count, 0.0F);
}

std::uint64_t Random::next() {
  auto x = static_cast<std::uint64_t>(state);
  x ^= x >> 12;
  x ^= x << 25;
  x ^= x >> 27;
  state = static_cast<std::int64_t>(x);
  return x * 0x2545F4914F6CDD1DULL;
}

double Random::uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }

Model::Model(Random& random)
    : parameters_{{"embedding.weight", kSymbols, kEmbedding},
                  {"hidden.weight", kHidden, kContext * kEmbedding},
                  {"hidden.bias", 1, kHidden},
                  {"out.weight", kSymbols, kHidden},
                  {"out.bias", 1, kSymbols}},
      input_(kContext * kEmbedding),
      activation_(kHidden),
      probability_(kSymbols) {
  for (Parameter& parameter : parameters_) {
    if (parameter.rows == 1) continue;  // biases begin at 0
    const double spread = 1 / std::sqrt(static_cast<double>(parameter.columns));
    for (float& weight : parameter.value)
      weight = static_cast<float>((2 * random.uniform() - 1) * spread);
  }
}

int symbol_of(char c) {
  const auto code = static_cast<unsigned char>(c);
  return code < kSymbols ? code : kSymbols - 1;
}

void Model::forward(const std::array<int, kContext>& context) {
  for (int i = 0; i < kContext; ++i)
    std::copy_n(
        &embedding()
             .value[static_cast<std::size_t>(context[static_cast<std::size_t>(i)]) * kEmbedding],
        kEmbedding, &input_[static_cast<std::size_t>(i) * kEmbedding]);
  for (std::size_t h = 0; h < kHidden; ++h) {
    const float* row = &hidden().value[h * input_.size()];
    float sum = hidden_bias().value[h];
    for (std::size_t i = 0; i < input_.size(); ++i) sum += row[i] * input_[i];
    activation_[h] = std::tanh(sum);
  }
  float most = -1e30F, total = 0;
  for (std::size_t s = 0; s < kSymbols; ++s) {
    const float* row = &out().value[s * kHidden];
    float sum = out_bias().value[s];
    for (std::size_t h = 0; h < kHidden; ++h) sum += row[h] * activation_[h];
    probability_[s] = sum;
    most = std::max(most, sum);
  }
  for (float& p : probability_) total += p = std::exp(p - most);
  for (float& p : probability_) p /= total;
}

double Model::learn(const std::vector<std::array<int, kContext>>& contexts,
                    const std::vector<int>& targets) {
  for (Parameter& parameter : parameters_) std::ranges::fill(parameter.gradient, 0.0F);
  const float scale = 1.0F / static_cast<float>(contexts.size());
  std::vector<float> d_activation(kHidden), d_input(input_.size());
  double loss = 0;
  for (std::size_t b = 0; b < contexts.size(); ++b) {
    forward(contexts[b]);
    const auto target = static_cast<std::size_t>(targets[b]);
    loss -= std::log(std::max(probability_[target], 1e-12F));
    std::ranges::fill(d_activation, 0.0F);
    std::ranges::fill(d_input, 0.0F);
    for (std::size_t s = 0; s < kSymbols; ++s) {
      const float d = (probability_[s] - (s == target ? 1.0F : 0.0F)) * scale;
      out_bias().gradient[s] += d;
      for (std::size_t h = 0; h < kHidden; ++h) {
        out().gradient[s * kHidden + h] += d * activation_[h];
        d_activation[h] += d * out().value[s * kHidden + h];
      }
    }
    for (std::size_t h = 0; h < kHidden; ++h) {
      const float d = d_activation[h] * (1 - activation_[h] * activation_[h]);
      hidden_bias().gradient[h] += d;
      float* gradient = &hidden().gradient[h * input_.size()];
      const float* weight = &hidden().value[h * input_.size()];
      for (std::size_t i = 0; i < input_.size(); ++i) {
        gradient[i] += d * input_[i];
        d_input[i] += d * weight[i];
      }
    }
    for (std::size_t i = 0; i < input_.size(); ++i)
      embedding().gradient[static_cast<std::size_t>(contexts[b][i / kEmbedding]) * kEmbedding +
                           i % kEmbedding] += d_input[i];
  }
  return loss * static_cast<double>(scale);
}

std::string Model::write(std::string text, int count, Random& random) {
  for (int n = 0; n < count; ++n) {
    std::array<int, kContext> context{};
    for (std::size_t i = 0; i < kContext; ++i)
      if (text.size() >= kContext - i) context[i] = symbol_of(text[text.size() - (kContext - i)]);
    forward(context);
    double left = random.uniform();
    std::size_t symbol = 0;
    while (symbol + 1 < kSymbols && (left -= static_cast<double>(probability_[symbol])) > 0)
      ++symbol;
    text += static_cast<char>(symbol);
  }
  return text;
}

void adamw(std::vector<Parameter>& parameters, std::int64_t step, double learning_rate) {
  constexpr float kBeta1 = 0.9F, kBeta2 = 0.99F, kEpsilon = 1e-8F, kDecay = 0.01F;
  const auto n = static_cast<float>(step);
  const float rate = static_cast<float>(learning_rate) / (1 - std::pow(kBeta1, n));
  const float correction = 1 / (1 - std::pow(kBeta2, n));
  for (Parameter& p : parameters) {
    for (std::size_t i = 0; i < p.value.size(); ++i) {
      const float g = p.gradient[i];
      p.exp_avg[i] += (1 - kBeta1) * (g - p.exp_avg[i]);
      p.exp_avg_sq[i] += (1 - kBeta2) * (g * g - p.exp_avg_sq[i]);
      p.value[i] -= static_cast<float>(learning_rate) * kDecay * p.value[i];
      p.value[i] -= rate * p.exp_avg[i] / (std::sqrt(p.exp_avg_sq[i] * correction) + kEpsilon);
    }
  }
}

double learning_rate_at(std::int64_t step, std::int64_t steps) {
  constexpr double kPeak = 2e-3, kWarmup = 20;
  const auto at = static_cast<double>(step);
  if (at < kWarmup) return kPeak * (at + 1) / kWarmup;
  const double done = (at - kWarmup) / std::max(1.0, static_cast<double>(steps) - kWarmup);
  return kPeak * (0.1 + 0.45 * (1 + std::cos(done * 3.14159265358979)));
}

}  // namespace charlm
