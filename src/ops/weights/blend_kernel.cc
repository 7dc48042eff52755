#include "ops/weights/blend_kernel.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "base/try.h"

namespace kilter::ops {
namespace {

constexpr std::size_t kBlockElements = 1024;  // three buffers of doubles stay in the first cache
using Block = std::array<double, kBlockElements>;

std::size_t width_of(DType dtype) { return dtype_row(dtype).bits / 8U; }

}  // namespace

void RoundingError::add(std::span<const double> wanted, std::span<const double> got,
                        std::uint64_t too_large) {
  const DifferenceSums sums = difference_sums(wanted, got);
  const std::lock_guard guard(mutex_);
  sums_ += sums;
  too_large_ += too_large;
}

RoundingError& RoundingError::operator+=(const RoundingError& other) {
  sums_ += other.sums_;
  too_large_ += other.too_large_;
  return *this;
}

double RoundingError::rms() const {
  return sums_.elements == 0 ? 0 : std::sqrt(sums_.squares / static_cast<double>(sums_.elements));
}

double RoundingError::cosine() const {
  const double norms = std::sqrt(sums_.a_squares) * std::sqrt(sums_.b_squares);
  return norms > 0 ? std::min(sums_.dot / norms, 1.0) : 1;
}

Status BlendKernel::run(const KernelTile& tile) const {
  const std::size_t elements = tile.out.size() / width_of(rules_.to);
  for (std::size_t first = 0; first < elements; first += kBlockElements)
    KILTER_TRY(run_block(tile, first, std::min(kBlockElements, elements - first)));
  return ok();
}

bool BlendKernel::same_as(const Kernel& other) const {
  const auto* const its = dynamic_cast<const BlendKernel*>(&other);
  return its != nullptr && !rules_.noise && !its->rules_.noise && its->rules_.to == rules_.to &&
         its->rules_.terms == rules_.terms && its->rules_.scales == rules_.scales &&
         its->rules_.allow_too_large == rules_.allow_too_large &&
         its->rules_.allow_not_finite == rules_.allow_not_finite;
}

Status BlendKernel::run_block(const KernelTile& tile, std::size_t first, std::size_t count) const {
  Block sum, values;
  const std::uint64_t element = tile.offset_bytes / width_of(rules_.to) + first;
  for (std::size_t i = 0; i < rules_.terms.size(); ++i) {
    const BlendTerm& term = rules_.terms[i];
    const std::byte* const in = tile.inputs[i].data() + first * width_of(term.dtype);
    const std::span<double> wide = std::span(i == 0 ? sum : values).first(count);
    widen_floats(term.dtype, in, count, wide.data());
    if (term.scales) multiply_scales(*term.scales, element, wide);
    if (i == 0)
      scale(term.weight, std::span(sum).first(count));
    else
      add_weighted(term.weight, std::span(values).first(count), sum.data());
  }
  const std::size_t width = width_of(rules_.to);
  auto finished =
      finish(element, std::span(sum).first(count), tile.out.subspan(first * width, count * width));
  if (finished || finished.error().code != ErrorCode::kMalformed) return finished;
  Error error = std::move(finished).error();
  error.path = path_not_finite(tile, first, count);
  return fail(std::move(error));
}

Status BlendKernel::finish(std::uint64_t first_element, std::span<double> sum,
                           std::span<std::byte> out) const {
  const std::size_t width = width_of(rules_.to);
  for (std::size_t at = 0; at < sum.size(); at += kBlockElements) {
    const std::size_t count = std::min(kBlockElements, sum.size() - at);
    KILTER_TRY(finish_block(first_element + at, sum.subspan(at, count), out.data() + at * width));
  }
  return ok();
}

Status BlendKernel::finish_block(std::uint64_t element, std::span<double> sum,
                                 std::byte* out) const {
  if (rules_.noise) add_noise(element, sum);
  Block unscaled, values;
  const std::span<double> wanted = rules_.scales ? std::span(unscaled).first(sum.size()) : sum;
  if (rules_.scales) {
    std::ranges::copy(sum, wanted.begin());
    divide_scales(*rules_.scales, element, sum);
  }
  const RangeCounts counts = count_range(rules_.to, sum);
  if (counts != RangeCounts{}) KILTER_TRY(check(sum, counts));
  narrow_floats(rules_.to, sum.data(), sum.size(), out);
  if (rules_.error == nullptr) return ok();
  const std::span<double> got = std::span(values).first(sum.size());
  widen_floats(rules_.to, out, got.size(), got.data());
  if (rules_.scales) multiply_scales(*rules_.scales, element, got);
  rules_.error->add(wanted, got, counts.too_large);
  return ok();
}

void BlendKernel::add_noise(std::uint64_t first_element, std::span<double> sum) const {
  for (std::size_t i = 0; i < sum.size(); ++i)
    sum[i] += rules_.noise_deviation * rules_.noise->normal(first_element + i);
}

Status BlendKernel::check(std::span<const double> sum, const RangeCounts& counts) const {
  if (counts.not_finite != 0 && !rules_.allow_not_finite) {
    Error error(ErrorCode::kMalformed, "weights are NaN or infinite");
    error.tensor = rules_.tensor;
    error.hint = "give --allow nonfinite to blend them all the same";
    return fail(std::move(error));
  }
  if (counts.too_large == 0 || rules_.allow_too_large) return ok();
  const auto worst = std::ranges::max(
      sum, {}, [](double value) { return std::isfinite(value) ? std::fabs(value) : 0.0; });
  Error error(ErrorCode::kOutOfRange,
              fmt::format("numbers are too large for {}", dtype_name(rules_.to)));
  error.tensor = rules_.tensor;
  error.path = rules_.terms.front().path;
  error.found = fmt::format("{:g}", worst);
  error.hint = "keep this tensor (--keep 'NAME=f32'), or give --allow overflow";
  return fail(std::move(error));
}

std::string BlendKernel::path_not_finite(const KernelTile& tile, std::size_t first,
                                         std::size_t count) const {
  Block values;
  for (std::size_t i = 0; i < rules_.terms.size(); ++i) {
    const BlendTerm& term = rules_.terms[i];
    widen_floats(term.dtype, tile.inputs[i].data() + first * width_of(term.dtype), count,
                 values.data());
    const RangeCounts its = count_range(DType::kF64, std::span(values).first(count));
    if (its.not_finite != 0) return term.path;
  }
  return "";
}

Status EqualKernel::run(const KernelTile& tile) const {
  for (std::size_t i = 1; i < tile.inputs.size(); ++i) {
    if (std::ranges::equal(tile.inputs[0], tile.inputs[i])) continue;
    Error error(ErrorCode::kInvalidArgument, "integers differ, and cannot be blended");
    error.tensor = tensor_;
    error.path = paths_[i];
    error.expected = "the values of " + paths_[0];
    error.hint = "give --allow values to take those of the first";
    return fail(std::move(error));
  }
  std::memcpy(tile.out.data(), tile.inputs[0].data(), tile.out.size());
  return ok();
}

}  // namespace kilter::ops
