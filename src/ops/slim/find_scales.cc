#include "ops/slim/find_scales.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/raw_bytes.h"
#include "base/run_jobs.h"
#include "base/try.h"
#include "flow/source.h"
#include "tensor/kernels/float_values.h"

namespace kilter::ops {
namespace {

constexpr std::uint64_t kScaleJobElements = 4U << 20, kScaleReadElements = 64U << 10;
constexpr std::size_t kScaleBlockElements = 1024;

/// The largest magnitudes of the blocks that a run of rows touches.
struct BlockMaxima {
  std::size_t search = 0;
  std::uint64_t first = 0, count = 0;  // elements
  std::uint64_t first_block = 0;
  std::vector<double> values;
};

class ScaleFinder {
 public:
  ScaleFinder(const WeightsInput& input, const std::vector<ScaleSearch>& searches, bool allow)
      : input_(input), searches_(searches), allow_not_finite_(allow) {
    for (std::size_t s = 0; s < searches.size(); ++s) {
      const std::uint64_t elements = searches[s].grid->rows * searches[s].grid->columns;
      for (std::uint64_t at = 0; at < elements; at += kScaleJobElements)
        parts_.push_back({s, at, std::min(kScaleJobElements, elements - at), 0, {}});
    }
  }

  Status run(unsigned thread_count, const RunContext& context) {
    Jobs jobs{"scales", parts_.size(), {}, {}};
    jobs.bytes = [&](std::size_t i) { return parts_[i].count * width_of(parts_[i]); };
    jobs.run = [&](std::size_t i) { return look(parts_[i], context); };
    KILTER_TRY(run_jobs(jobs, thread_count, context));
    std::size_t at = 0;
    for (std::size_t s = 0; s < searches_.size(); ++s) KILTER_TRY(settle(s, at));
    return ok();
  }

 private:
  std::uint64_t width_of(const BlockMaxima& part) const {
    return dtype_row(searches_[part.search].from).bits / 8U;
  }

  Status look(BlockMaxima& part, const RunContext& context) const {
    const ScaleSearch& search = searches_[part.search];
    const ScaleGrid& grid = *search.grid;
    const auto down_of = [&](std::uint64_t element) {
      return element / grid.columns / grid.block_rows;
    };
    part.first_block = down_of(part.first) * grid.count_across();
    const std::uint64_t last = (down_of(part.first + part.count - 1) + 1) * grid.count_across();
    part.values.assign(static_cast<std::size_t>(last - part.first_block), 0.0);
    RawBytes bytes;
    for (std::uint64_t at = 0; at < part.count; at += kScaleReadElements) {
      KILTER_TRY(context.check());
      const std::uint64_t some = std::min(kScaleReadElements, part.count - at);
      bytes.resize(static_cast<std::size_t>(some * width_of(part)));
      KILTER_TRY(input_.checkpoint.source()->read_tensor(
          search.tensor, (part.first + at) * width_of(part), bytes));
      KILTER_TRY(add_elements(part, part.first + at, bytes));
    }
    return ok();
  }

  Status add_elements(BlockMaxima& part, std::uint64_t first, const RawBytes& bytes) const {
    const ScaleSearch& search = searches_[part.search];
    std::array<double, kScaleBlockElements> values;
    const std::size_t count = bytes.size() / width_of(part);
    for (std::size_t at = 0; at < count; at += kScaleBlockElements) {
      const std::size_t some = std::min(kScaleBlockElements, count - at);
      const std::span<double> block = std::span(values).first(some);
      widen_floats(search.from, bytes.data() + at * width_of(part), some, block.data());
      if (search.held) multiply_scales(*search.held, first + at, block);
      if (count_range(DType::kF64, block).not_finite > 0) {
        if (!allow_not_finite_) return fail(not_finite(search));
        for (double& value : block) value = std::isfinite(value) ? value : 0;
      }
      for_each_scale_run(*search.grid, first + at, some, [&](const ScaleRun& run) {
        double& largest = part.values[static_cast<std::size_t>(run.block - part.first_block)];
        double here = largest;
        for (const double value : block.subspan(run.begin, run.count))
          here = std::max(here, std::fabs(value));
        largest = here;
      });
    }
    return ok();
  }

  Error not_finite(const ScaleSearch& search) const {
    Error error(ErrorCode::kMalformed, "weights are NaN or infinite");
    error.path = input_.address;
    error.tensor = search.name;
    error.hint = "give --allow nonfinite to cast the others all the same";
    return error;
  }

  /// Joins the parts of one search, which lie in order from `at`.
  Status settle(std::size_t search, std::size_t& at) {
    ScaleGrid& grid = *searches_[search].grid;
    std::vector<double> largest(grid.count_down() * grid.count_across(), 0.0);
    for (; at < parts_.size() && parts_[at].search == search; ++at) {
      BlockMaxima& part = parts_[at];
      for (std::size_t i = 0; i < part.values.size(); ++i) {
        double& whole = largest[static_cast<std::size_t>(part.first_block) + i];
        whole = std::max(whole, part.values[i]);
      }
      part.values = {};
    }
    const double most = searches_[search].to == DType::kF8E5M2 ? 57344.0 : 448.0;
    grid.values.resize(largest.size());
    for (std::size_t i = 0; i < largest.size(); ++i) {
      const double scale = largest[i] == 0 ? 1.0 : std::max(largest[i] / most, kScaleMin);
      if (scale > static_cast<double>(std::numeric_limits<float>::max()))
        return fail(too_large(searches_[search], largest[i]));
      grid.values[i] = static_cast<float>(scale);
    }
    return ok();
  }

  Error too_large(const ScaleSearch& search, double largest) const {
    Error error(ErrorCode::kOutOfRange, "numbers are too large for a scale of f32");
    error.path = input_.address;
    error.tensor = search.name;
    error.found = fmt::format("{:g}", largest);
    error.hint = "keep this tensor (--keep 'NAME=f64')";
    return error;
  }

  const WeightsInput& input_;
  const std::vector<ScaleSearch>& searches_;
  const bool allow_not_finite_;
  std::vector<BlockMaxima> parts_;
};

}  // namespace

Status find_scales(const WeightsInput& input, const std::vector<ScaleSearch>& searches,
                   bool allow_not_finite, unsigned thread_count, const RunContext& context) {
  return ScaleFinder(input, searches, allow_not_finite).run(thread_count, context);
}

}  // namespace kilter::ops
