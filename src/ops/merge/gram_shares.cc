#include <algorithm>
#include <cmath>
#include <numeric>

#include "ops/merge/gram_study.h"

namespace kilter::ops {
namespace {

constexpr double kParallelCosine = 0.9995;  // slerp: beyond, a straight line
constexpr double kSmallestNorm = 1e-8, kSmallestSine = 1e-8, kSmallestProduct = 1e-6;

/// Of unit vectors; 0 beside one without length.
double cosine(const Gram& gram, std::size_t a, std::size_t b) {
  const double norms = gram.norm(a) * gram.norm(b);
  return norms > 0 ? std::clamp(gram.at(a, b) / norms, -1.0, 1.0) : 0;
}

std::vector<double> arc_shares(double cosine, double t) {
  const double angle = std::acos(cosine);
  return {std::sin(angle - angle * t) / std::sin(angle), std::sin(angle * t) / std::sin(angle)};
}

/// A point on the sphere as a sum of the unit vectors of the inputs.
class SpherePoint {
 public:
  SpherePoint(const Gram& gram, std::vector<double> factors)
      : gram_(gram), factors_(std::move(factors)) {}
  const std::vector<double>& factors() const { return factors_; }
  double cosine_to(std::size_t vector) const {
    double out = 0;
    for (std::size_t i = 0; i < factors_.size(); ++i) out += factors_[i] * cosine(gram_, i, vector);
    return std::clamp(out, -1.0, 1.0);
  }
  double norm() const {
    double out = 0;
    for (std::size_t i = 0; i < factors_.size(); ++i)
      for (std::size_t j = 0; j < factors_.size(); ++j)
        out += factors_[i] * factors_[j] * (i == j ? 1.0 : cosine(gram_, i, j));
    return std::sqrt(std::max(out, 0.0));
  }
  void scale_by(double factor) {
    for (double& value : factors_) value *= factor;
  }
  void add(double factor, const SpherePoint& other) {
    for (std::size_t i = 0; i < factors_.size(); ++i) factors_[i] += factor * other.factors_[i];
  }

 private:
  const Gram& gram_;
  std::vector<double> factors_;
};

/// The weighted mean of the directions to all inputs, each as long as its angle is wide.
SpherePoint mean_direction(const Gram& gram, const SpherePoint& from,
                           std::span<const double> weights) {
  SpherePoint out(gram, std::vector<double>(weights.size(), 0.0));
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const double to = from.cosine_to(i), angle = std::acos(to), sine = std::sin(angle);
    if (angle < kSmallestNorm || sine < kSmallestSine || gram.norm(i) == 0) continue;
    std::vector<double> unit(weights.size(), 0.0);
    unit[i] = 1;
    out.add(weights[i] * angle / sine, SpherePoint(gram, std::move(unit)));
    out.add(-weights[i] * angle / sine * to, from);
  }
  return out;
}

/// Along a direction, as far as it is long.
void walk(SpherePoint& point, const SpherePoint& direction) {
  const double distance = direction.norm();
  point.scale_by(std::cos(distance));
  point.add(std::sin(distance) / distance, direction);
}

/// From unit vectors to the inputs', stretched to `length`.
std::vector<double> stretched(const Gram& gram, const SpherePoint& point, double length) {
  std::vector<double> out = point.factors();
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] = gram.norm(i) > 0 ? out[i] * length / gram.norm(i) : 0;
  return out;
}

double weighted_norms(const Gram& gram, std::span<const double> weights) {
  double out = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) out += weights[i] * gram.norm(i);
  return out;
}

}  // namespace

double Gram::norm(std::size_t a) const { return std::sqrt(at(a, a)); }

Gram& Gram::operator+=(const Gram& other) {
  for (std::size_t i = 0; i < sums_.size(); ++i) sums_[i] += other.sums_[i];
  return *this;
}

std::vector<double> slerp_shares(const Gram& gram, double t) {
  const double angle_cosine = cosine(gram, 0, 1);
  if (std::fabs(angle_cosine) > kParallelCosine) return {1 - t, t};
  return arc_shares(angle_cosine, t);
}

std::vector<double> nuslerp_shares(const Gram& gram, std::span<const double> weights) {
  const double t = weights[1] / (weights[0] + weights[1]);
  const double angle_cosine = cosine(gram, 0, 1);
  if (std::fabs(std::sin(std::acos(angle_cosine))) < kSmallestSine) return {1 - t, t};
  return arc_shares(angle_cosine, t);
}

std::vector<double> multislerp_shares(const Gram& gram, std::span<const double> weights,
                                      double epsilon, MergeCompat compat) {
  SpherePoint mean(gram, std::vector<double>(weights.begin(), weights.end()));
  const double length = mean.norm();
  if (length < epsilon) return {weights.begin(), weights.end()};  // no direction is the middle
  mean.scale_by(1 / length);
  if (compat == MergeCompat::kPaper) {
    const SpherePoint direction = mean_direction(gram, mean, weights);
    if (direction.norm() > kSmallestNorm) walk(mean, direction);
  }
  return stretched(gram, mean, weighted_norms(gram, weights));
}

std::vector<double> karcher_shares(const Gram& gram, std::span<const double> weights,
                                   std::uint32_t max_iterations, double tolerance) {
  SpherePoint mean(gram, std::vector<double>(weights.begin(), weights.end()));
  if (mean.norm() < kSmallestNorm) return {weights.begin(), weights.end()};
  mean.scale_by(1 / mean.norm());
  for (std::uint32_t i = 0; i < max_iterations; ++i) {
    const SpherePoint direction = mean_direction(gram, mean, weights);
    if (direction.norm() < tolerance || direction.norm() == 0) break;
    walk(mean, direction);
    mean.scale_by(1 / mean.norm());
  }
  return stretched(gram, mean, weighted_norms(gram, weights));
}

std::vector<double> model_stock_shares(const Gram& gram, MergeCompat compat) {
  const std::size_t count = gram.vectors();
  double sum = 0, pairs = 0;
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t j = i + 1; j < count; ++j, ++pairs) {
      // The tool's floor makes small task vectors look as if they had nothing in common.
      const double floor = compat == MergeCompat::kMergekit ? kSmallestProduct : 0;
      const double norms = std::max(gram.norm(i) * gram.norm(j), floor);
      sum += norms > 0 ? std::clamp(gram.at(i, j) / norms, -1.0, 1.0) : 0;
    }
  }
  const double mean = sum / pairs, models = static_cast<double>(count);
  const double t = models * mean / (1 + (models - 1) * mean);
  return std::vector<double>(count, t / models);
}

}  // namespace kilter::ops
