#include "ops/diff/against.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "base/run_jobs.h"
#include "base/try.h"
#include "tensor/float_format.h"
#include "tensor/kernels/float_values.h"
#include "tensor/kernels/number_values.h"

namespace kilter::ops {
namespace {

// Fixed, so that sums are the same for any number of threads.
constexpr std::uint64_t kAgainstJobElements = 4U << 20, kAgainstReadElements = 64U << 10;
constexpr std::size_t kAgainstBlock = 1024;

/// Three tensors with as many elements.
struct TensorTriple {
  const TensorPair* pair = nullptr;
  std::size_t row = 0;
  std::size_t c = 0;
  DType dtype_c = DType::kF32;
};

struct TriplePart {
  std::size_t triple = 0;
  std::uint64_t first = 0, count = 0;
  DifferenceSums sums;       ///< "a" is c - a, "b" is b - a
  double power_squares = 0;  ///< of b's numbers rounded down to powers of two
};

std::uint64_t element_bytes(DType dtype) { return dtype_row(dtype).bits / 8; }

/// One of three tensors, read block by block.
class WidenedRun {
 public:
  WidenedRun(const WeightsInput& input, std::size_t tensor, DType dtype, const ElementView& view)
      : reader_(input, tensor, view), dtype_(dtype) {}

  Status read(std::uint64_t first, std::uint64_t count) {
    bytes_.resize(static_cast<std::size_t>(count * element_bytes(dtype_)));
    return reader_.read(first, element_bytes(dtype_), bytes_);
  }
  void widen(std::size_t at, std::size_t count, double* out) const {
    widen_floats(dtype_, bytes_.data() + at * element_bytes(dtype_), count, out);
  }

 private:
  ElementReader reader_;
  DType dtype_;
  RawBytes bytes_;
};

/// Sum of the squares of the powers of two at or below each |number|: what the last digit's worth
/// goes by.
double sum_power_squares(std::span<const double> numbers, double smallest_normal_power) {
  double sum = 0;
  for (const double number : numbers) {
    const double power =
        std::bit_cast<double>(std::bit_cast<std::uint64_t>(number) & 0x7FF0000000000000U);
    const double finite = power <= std::numeric_limits<double>::max() ? power : 0;
    const double normal = std::max(finite, smallest_normal_power);
    sum += normal * normal;
  }
  return sum;
}

void add_block(const WidenedRun& a, const WidenedRun& b, const WidenedRun& c, std::size_t at,
               std::size_t count, double smallest, TriplePart& part) {
  double from_a[kAgainstBlock], from_b[kAgainstBlock], from_c[kAgainstBlock];
  a.widen(at, count, from_a);
  b.widen(at, count, from_b);
  c.widen(at, count, from_c);
  part.power_squares += sum_power_squares(std::span(from_b, count), smallest);
  for (std::size_t i = 0; i < count; ++i) {
    from_b[i] -= from_a[i];
    from_c[i] -= from_a[i];
  }
  part.sums += difference_sums(std::span(from_c, count), std::span(from_b, count));
}

Status sum_part(const WeightsInput& input_c, const TensorTriple& triple, TriplePart& part,
                const RunContext& context) {
  const TensorPair& pair = *triple.pair;
  const double smallest = smallest_normal(pair.dtype_b);
  WidenedRun a(*pair.input_a, pair.a, pair.dtype_a, pair.view_a);
  WidenedRun b(*pair.input_b, pair.b, pair.dtype_b, pair.view_b);
  WidenedRun c(input_c, triple.c, triple.dtype_c, pair.view_a);
  for (std::uint64_t at = 0; at < part.count; at += kAgainstReadElements) {
    KILTER_TRY(context.check());
    const std::uint64_t some = std::min(kAgainstReadElements, part.count - at);
    KILTER_TRY(a.read(part.first + at, some));
    KILTER_TRY(b.read(part.first + at, some));
    KILTER_TRY(c.read(part.first + at, some));
    for (std::size_t i = 0; i < some; i += kAgainstBlock)
      add_block(a, b, c, i, std::min<std::size_t>(kAgainstBlock, some - i), smallest, part);
  }
  return ok();
}

/// The error of rounding to a dtype is spread evenly over its last digit: that digit's worth, times
/// 1 / sqrt(12), in the mean square.
double rounding_noise(double power_squares, DType dtype) {
  const FloatFormat* const format = float_format(dtype);
  return std::ldexp(std::sqrt(power_squares / 12), -static_cast<int>(format->mantissa_bits));
}

Interpolation fit(const DifferenceSums& sums, double noise) {
  Interpolation out;
  if (sums.a_squares <= 0 || sums.b_squares <= 0) return out;
  out.t = sums.dot / sums.a_squares;
  const double left = sums.b_squares - out.t * sums.dot;
  out.residual = std::sqrt(std::max(0.0, left) / sums.b_squares);
  out.rounding = noise / std::sqrt(sums.b_squares);
  return out;
}

}  // namespace

Status compare_against(const WeightsInput& c, const std::vector<TensorPair>& pairs,
                       const std::vector<std::size_t>& rows, unsigned thread_count,
                       const RunContext& context, CheckpointDiff& out) {
  std::vector<TensorTriple> triples;
  std::vector<TriplePart> parts;
  AgainstReport report;
  report.address = c.address;
  for (std::size_t p = 0; p < pairs.size(); ++p) {
    const TensorDiff& row = out.tensors[rows[p]];
    if (row.change != WeightChange::kChanged || !pairs[p].floats) continue;
    const auto other = c.find(row.name);
    const bool fits =
        other && c.info(*other).shape == row.shape_a && has_float_values(c.info(*other).dtype);
    if (!fits) {
      ++report.left_out;
      continue;
    }
    for (std::uint64_t at = 0; at < pairs[p].elements; at += kAgainstJobElements)
      parts.push_back(
          {triples.size(), at, std::min(kAgainstJobElements, pairs[p].elements - at), {}});
    triples.push_back({&pairs[p], rows[p], *other, c.info(*other).dtype});
  }
  Jobs jobs{"fit", parts.size(), {}, {}};
  jobs.bytes = [&](std::size_t i) {
    const TensorTriple& triple = triples[parts[i].triple];
    return parts[i].count * (element_bytes(triple.pair->dtype_a) +
                             element_bytes(triple.pair->dtype_b) + element_bytes(triple.dtype_c));
  };
  jobs.run = [&](std::size_t i) {
    return sum_part(c, triples[parts[i].triple], parts[i], context);
  };
  KILTER_TRY(run_jobs(jobs, thread_count, context));
  std::vector<DifferenceSums> sums(triples.size());
  std::vector<double> power_squares(triples.size());
  for (const TriplePart& part : parts) {
    sums[part.triple] += part.sums;
    power_squares[part.triple] += part.power_squares;
  }
  DifferenceSums all;
  double noise_squares = 0;
  for (std::size_t i = 0; i < triples.size(); ++i) {
    TensorDiff& row = out.tensors[triples[i].row];
    const double noise = rounding_noise(power_squares[i], row.dtype_b);
    row.interpolation = fit(sums[i], noise);
    noise_squares += noise * noise;
    all += sums[i];
  }
  report.compared = triples.size();
  report.total = fit(all, std::sqrt(noise_squares));
  out.against = std::move(report);
  return ok();
}

}  // namespace kilter::ops
