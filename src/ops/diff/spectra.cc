#include "ops/diff/spectra.h"

#include <algorithm>

#include "base/run_jobs.h"
#include "base/thread_pool.h"
#include "base/try.h"
#include "ops/weights/spectrum.h"

namespace kilter::ops {
namespace {

constexpr std::uint64_t kSampledElementsMax = 1U << 24;
constexpr std::uint64_t kSpectrumBytesMax = 128U << 20;  // of differences held in memory
constexpr std::int64_t kSpectrumSideMin = 8;  // fewer rows or columns are always of low rank
constexpr std::size_t kSpectrumValues = 64, kSpectrumShown = 8, kSpectrumAutoCount = 4;

bool has_spectrum(const TensorPair& pair, const TensorDiff& row) {
  const bool plain = pair.view_a.layout == Layout::kPlain && pair.view_b.layout == Layout::kPlain &&
                     row.layout.empty();
  return row.change == WeightChange::kChanged && pair.floats && plain && row.not_finite == 0 &&
         row.shape_a.size() == 2 && row.shape_a[0] >= kSpectrumSideMin &&
         row.shape_a[1] >= kSpectrumSideMin;
}

/// The pairs to look at, those that changed most first.
std::vector<std::size_t> chosen_pairs(const std::vector<TensorPair>& pairs,
                                      const std::vector<std::size_t>& rows, std::size_t count,
                                      const CheckpointDiff& diff) {
  std::vector<std::size_t> out;
  const bool all = count == kSpectrumAll;
  for (std::size_t p = 0; p < pairs.size(); ++p)
    if (has_spectrum(pairs[p], diff.tensors[rows[p]]) &&
        (all || pairs[p].elements <= kSampledElementsMax))
      out.push_back(p);
  std::ranges::stable_sort(out, [&](std::size_t a, std::size_t b) {
    return diff.tensors[rows[a]].relative_norm > diff.tensors[rows[b]].relative_norm;
  });
  if (out.size() > count) out.resize(count);
  return out;
}

/// Some matrices stayed as they were, others did not: so adapters leave a model.
bool is_partly_changed(const CheckpointDiff& diff) {
  bool changed = false, same = false;
  for (const TensorDiff& row : diff.tensors) {
    if (row.shape_a.size() != 2) continue;
    changed = changed || row.change == WeightChange::kChanged;
    same = same || row.change == WeightChange::kIdentical;
  }
  return changed && same;
}

std::size_t wanted_spectra(const DiffOptions& options, const CheckpointDiff& diff) {
  if (options.spectrum_tensors != kSpectrumAuto) return options.spectrum_tensors;
  return is_partly_changed(diff) ? kSpectrumAutoCount : 0;
}

TensorMatrix matrix_of(const WeightsInput& input, std::size_t tensor) {
  return {input.checkpoint.source().get(), tensor, input.address};
}

}  // namespace

Status measure_spectra(const std::vector<TensorPair>& pairs, const std::vector<std::size_t>& rows,
                       const DiffOptions& options, CheckpointDiff& out) {
  const std::vector<std::size_t> chosen =
      chosen_pairs(pairs, rows, wanted_spectra(options, out), out);
  const std::size_t threads = options.thread_count > 0 ? options.thread_count : usable_cpu_count();
  const std::size_t at_once = std::max<std::size_t>(1, std::min(threads, chosen.size()));
  Jobs jobs{"spectrum", chosen.size(), {}, {}};
  jobs.bytes = [&](std::size_t i) { return 2 * out.tensors[rows[chosen[i]]].elements; };
  jobs.run = [&](std::size_t i) -> Status {
    const TensorPair& pair = pairs[chosen[i]];
    TensorDiff& row = out.tensors[rows[chosen[i]]];
    SpectrumOptions spectrum;
    spectrum.count = kSpectrumValues;
    spectrum.keep_bytes_max = kSpectrumBytesMax / at_once;
    KILTER_ASSIGN(
        const DifferenceSpectrum found,
        difference_spectrum(matrix_of(*pair.input_b, pair.b), matrix_of(*pair.input_a, pair.a),
                            row.name, spectrum, options.context));
    row.spectrum.emplace();
    row.spectrum->rank = found.rank;
    row.spectrum->values.assign(found.values.begin(),
                                found.values.begin() + static_cast<std::ptrdiff_t>(std::min(
                                                           found.values.size(), kSpectrumShown)));
    if (!found.energy.empty()) row.spectrum->energy = found.energy.back();
    return {};
  };
  return run_jobs(jobs, options.thread_count, options.context);
}

}  // namespace kilter::ops
