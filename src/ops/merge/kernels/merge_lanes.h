// Loops over runs of weights that merge methods are made of. The same bits on every processor.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kilter::ops {

/// x -= base.
void subtract(const double* base, std::size_t count, double* x);

/// x += base.
void add(const double* base, std::size_t count, double* x);

/// sum += factors * x.
void add_products(const double* factors, const double* x, std::size_t count, double* sum);

/// out = base + lambda * sum.
void add_scaled_sum(const double* base, double lambda, const double* sum, std::size_t count,
                    double* out);

/// out = base + lambda * (sum / divisor); divisors nearer to 0 than 1e-8 count as 1. Where
/// `witness` is not finite, so is `out`.
void add_divided_sum(const double* base, double lambda, const double* sum, const double* divisor,
                     const double* witness, std::size_t count, double* out);

/// Where a value has the sign of `election` (0 elects +) and is not 0: sum += factor * value,
/// divisor += weight.
void add_agreeing(const double* values, const double* election, double factor, double weight,
                  std::size_t count, double* sum, double* divisor);

/// For each term t: v = factors[t] * terms[t]. The sum of all v elects a sign (0 elects +); those v
/// that have it and are not 0 give sum += multiples[t] * v, divisor += weights[t]. Then
/// out = base + lambda * (sum / divisor), the divisor 1 where it is nearer to 0 than 1e-8 or
/// `normalize` is false. Where a term is not finite, neither is `out`. All runs have room up to the
/// next multiple of eight elements.
struct SignElection {
  const double* const* terms = nullptr;
  const double* factors = nullptr;
  const double* multiples = nullptr;
  const double* weights = nullptr;
  std::size_t term_count = 0;
  double lambda = 1;
  bool normalize = false;
};
void add_elected(const SignElection& election, const double* base, std::size_t count, double* out);

/// Sum of a * b, in eight lanes that are added at the end.
double dot(const double* a, const double* b, std::size_t count);
/// Sums of |a| and of |a - b|, in eight lanes.
double magnitude_sum(const double* a, std::size_t count);
double difference_sum(const double* a, const double* b, std::size_t count);

}  // namespace kilter::ops
