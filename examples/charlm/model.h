// A character model small enough to read: embedding, one hidden layer, softmax; AdamW.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace charlm {

inline constexpr int kContext = 24;    // characters the model sees
inline constexpr int kEmbedding = 48;  // numbers for each of them
inline constexpr int kHidden = 384;
inline constexpr int kSymbols = 128;  // ASCII; anything else counts as 127
inline constexpr int kBatch = 16;

/// A matrix of weights with its gradient and AdamW's moments.
struct Parameter {
  std::string name;
  int rows = 0, columns = 0;
  std::vector<float> value, gradient, exp_avg, exp_avg_sq;

  Parameter(std::string called, int row_count, int column_count);
};

/// xorshift64*: all of its state is one number, so that it can be saved.
struct Random {
  std::int64_t state = 0x2545F4914F6CDD1D;
  std::uint64_t next();
  double uniform();  // in [0, 1)
};

class Model {
 public:
  explicit Model(Random& random);
  std::vector<Parameter>& parameters() { return parameters_; }
  /// Mean cross-entropy in nats of the symbols that follow `contexts`; fills the gradients.
  double learn(const std::vector<std::array<int, kContext>>& contexts,
               const std::vector<int>& targets);
  /// Some text that the model would write.
  std::string write(std::string text, int count, Random& random);

 private:
  void forward(const std::array<int, kContext>& context);
  Parameter& embedding() { return parameters_[0]; }
  Parameter& hidden() { return parameters_[1]; }
  Parameter& hidden_bias() { return parameters_[2]; }
  Parameter& out() { return parameters_[3]; }
  Parameter& out_bias() { return parameters_[4]; }

  std::vector<Parameter> parameters_;
  std::vector<float> input_, activation_, probability_;
};

/// One step of AdamW; `step` counts from 1.
void adamw(std::vector<Parameter>& parameters, std::int64_t step, double learning_rate);

/// Warm-up, then a cosine down to a tenth.
double learning_rate_at(std::int64_t step, std::int64_t steps);

/// A character as the model counts it.
int symbol_of(char c);

}  // namespace charlm
