// What the tests of this floor share: a small run with live tensors, a folder that goes away.
#pragma once

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "kilter/saver.h"

namespace kilter::train::test {

/// An empty folder on the disk.
class Scratch {
 public:
  Scratch() {
    std::string name = (std::filesystem::temp_directory_path() / "kilter-train-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no scratch folder");
    path_ = name;
  }
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

/// Parameters with moments, a step count, a generator: enough of a run to be torn.
struct TinyRun {
  static constexpr std::size_t kLarge = 3'000'000, kSmall = 100;
  std::vector<float> weight = std::vector<float>(kLarge), moment = std::vector<float>(kLarge);
  std::vector<float> bias = std::vector<float>(kSmall);
  std::vector<double> running = std::vector<double>(20'000);
  std::int64_t position = 0;
  double learning_rate = 0.1;
  bool warm = false;
  std::string note = "a";
  std::array<std::byte, 16> random{};

  State state() {
    State out;
    const auto large = static_cast<std::int64_t>(kLarge);
    EXPECT_TRUE(out.tensor({"model", "weight"},
                           {DType::kF32, {large / 100, 100}, weight.data(), {}, true}));
    EXPECT_TRUE(
        out.tensor({"model", "bias"},
                   {DType::kF32, {static_cast<std::int64_t>(kSmall)}, bias.data(), {}, true}));
    EXPECT_TRUE(
        out.tensor({"model", "running"}, {DType::kF64, {20'000}, running.data(), {}, false}));
    EXPECT_TRUE(out.tensor({"optimizer", "state", "weight", "exp_avg"},
                           {DType::kF32, {large / 100, 100}, moment.data(), {}, true}));
    EXPECT_TRUE(out.bind({"optimizer", "lr"}, learning_rate));
    EXPECT_TRUE(out.bind({"data", "position"}, position));
    EXPECT_TRUE(out.bind({"warm"}, warm));
    EXPECT_TRUE(out.bind({"note"}, note));
    EXPECT_TRUE(out.bind({"rng"}, random));
    return out;
  }

  /// Everything gets the value `n`, so that a torn step cannot pass for a whole one.
  void become(int n) {
    const auto value = static_cast<float>(n);
    std::fill(weight.begin(), weight.end(), value);
    std::fill(moment.begin(), moment.end(), value);
    std::fill(bias.begin(), bias.end(), value);
    std::fill(running.begin(), running.end(), value);
    position = n;
    learning_rate = 1.0 / (n + 1);
    warm = n % 2 == 1;
    note = std::string(static_cast<std::size_t>(n % 7 + 1), 'n');
    random.fill(static_cast<std::byte>(n));
  }

  friend bool operator==(const TinyRun&, const TinyRun&) = default;
};

inline TinyRun run_at(int n) {
  TinyRun run;
  run.become(n);
  return run;
}

}  // namespace kilter::train::test
