#include "ops/weights/spectrum.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "flow/memory_source.h"

namespace kilter::ops {
namespace {

struct Pair {
  std::vector<float> base, tuned;
  std::size_t rows, columns;
};

/// A base, and it plus `rank` directions of about `strength` and noise of `noise` an element.
Pair tuned_pair(std::size_t rows, std::size_t columns, std::size_t rank, float strength,
                float noise) {
  std::mt19937 generator(7);
  std::normal_distribution<float> normal;
  Pair out{std::vector<float>(rows * columns), {}, rows, columns};
  for (float& value : out.base) value = normal(generator) * 0.02F;
  std::vector<float> up(rows * rank), down(rank * columns);
  for (float& value : up) value = normal(generator) * strength;
  for (float& value : down) value = normal(generator);
  out.tuned = out.base;
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t j = 0; j < columns; ++j) {
      float& value = out.tuned[i * columns + j];
      for (std::size_t k = 0; k < rank; ++k) value += up[i * rank + k] * down[k * columns + j];
      value += normal(generator) * noise;
    }
  return out;
}

std::shared_ptr<const Source> source_of(const Pair& pair, const std::vector<float>& values) {
  TensorIndex index;
  TensorInfo info;
  info.name = "w";
  info.dtype = DType::kF32;
  info.shape = {static_cast<std::int64_t>(pair.rows), static_cast<std::int64_t>(pair.columns)};
  info.strides = contiguous_strides(info.shape);
  index.tensors = {info};
  index.storages.resize(1);
  return make_memory_source(std::move(index), {std::as_bytes(std::span(values))}, "memory").value();
}

DifferenceSpectrum spectrum_of(const Pair& pair, const SpectrumOptions& options = {}) {
  const auto base = source_of(pair, pair.base), tuned = source_of(pair, pair.tuned);
  return difference_spectrum({tuned.get(), 0, ""}, {base.get(), 0, ""}, "w", options, {}).value();
}

TEST(DifferenceSpectrum, SeesAMergedAdapter) {
  for (const std::size_t rank : {1U, 4U, 16U, 48U})
    EXPECT_EQ(spectrum_of(tuned_pair(256, 192, rank, 0.003F, 0)).rank, rank);
}

TEST(DifferenceSpectrum, SeesItThroughTheRoundingOfWeights) {
  const auto spectrum = spectrum_of(tuned_pair(256, 192, 8, 0.003F, 5e-5F));
  EXPECT_EQ(spectrum.rank, 8U);
  EXPECT_GT(spectrum.energy[7], 0.9);
  EXPECT_LT(spectrum.energy[7], 1.0);
}

TEST(DifferenceSpectrum, CallsNoiseNoAdapter) {
  const auto spectrum = spectrum_of(tuned_pair(256, 192, 1, 0, 1e-3F));
  EXPECT_EQ(spectrum.rank, 0U);
  EXPECT_NEAR(spectrum.norm, 1e-3 * std::sqrt(256.0 * 192), 1e-2 * spectrum.norm);
  EXPECT_EQ(spectrum.values.size(), 64U);
}

TEST(DifferenceSpectrum, CallsASlowlyFallingSpectrumNoAdapter) {
  std::vector<double> values;
  double squares = 0;
  for (int i = 0; i < 80; ++i) values.push_back(1 / std::sqrt(1.0 + i));
  for (int i = 0; i < 192; ++i) squares += 1 / (1.0 + i);
  EXPECT_EQ(low_rank_of(values, squares, 256, 192), 0U);
}

TEST(DifferenceSpectrum, OfEqualTensorsIsNothing) {
  Pair pair = tuned_pair(64, 48, 1, 0, 0);
  pair.tuned = pair.base;
  const auto spectrum = spectrum_of(pair);
  EXPECT_EQ(spectrum.rank, 0U);
  EXPECT_EQ(spectrum.norm, 0);
  EXPECT_TRUE(spectrum.values.empty());
}

}  // namespace
}  // namespace kilter::ops
