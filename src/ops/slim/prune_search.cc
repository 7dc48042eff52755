#include "ops/slim/prune_search.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>

#include "base/raw_bytes.h"
#include "base/run_jobs.h"
#include "base/try.h"
#include "flow/source.h"

namespace kilter::ops {
namespace {

// Fixed, so that sums are the same for any number of threads.
constexpr std::uint64_t kPruneJobElements = 4U << 20, kPruneReadElements = 64U << 10;
constexpr unsigned kSearchDigitBits = 16;
constexpr std::size_t kBins = std::size_t{1} << kSearchDigitBits;
constexpr std::size_t kGroupsAtOnce = 64;  // 32 MiB of bins

struct PrunePart {
  std::size_t tensor = 0;              // into the list of tensors
  std::uint64_t first = 0, count = 0;  // elements
};

std::vector<PrunePart> parts_of(const std::vector<PruneTensor>& tensors, std::size_t begin,
                                std::size_t end) {
  std::vector<PrunePart> out;
  for (std::size_t t = begin; t < end; ++t)
    for (std::uint64_t at = 0; at < tensors[t].elements; at += kPruneJobElements)
      out.push_back({t, at, std::min(kPruneJobElements, tensors[t].elements - at)});
  return out;
}

/// Calls use(first element, bytes) with the elements of a part, front to back.
template <typename Use>
Status read_part(const WeightsInput& input, const PruneTensor& tensor, const PrunePart& part,
                 const RunContext& context, Use use) {
  const std::uint64_t width = dtype_row(tensor.dtype).bits / 8U;
  RawBytes bytes;
  for (std::uint64_t at = 0; at < part.count; at += kPruneReadElements) {
    KILTER_TRY(context.check());
    const std::uint64_t some = std::min(kPruneReadElements, part.count - at);
    bytes.resize(static_cast<std::size_t>(some * width));
    KILTER_TRY(
        input.checkpoint.source()->read_tensor(tensor.tensor, (part.first + at) * width, bytes));
    use(part.first + at, std::span<const std::byte>(bytes));
  }
  return ok();
}

/// Tensors that share one threshold, and what is known of it: its bits from the top on.
struct PruneGroup {
  std::size_t begin = 0, end = 0;  // tensors
  std::uint64_t elements = 0, wanted = 0;
  std::uint64_t prefix = 0;    // digits found
  std::uint64_t below = 0;     // elements that are smaller than every key with that prefix
  std::uint64_t equal = 0;     // elements with that prefix
  std::size_t cut_tensor = 0;  // the first tensor of which equal ones go …
  std::uint64_t cut = 0;       // … from this element on
};

class ThresholdSearch {
 public:
  ThresholdSearch(const WeightsInput& input, const std::vector<PruneTensor>& tensors,
                  unsigned thread_count, const RunContext& context)
      : input_(input), tensors_(tensors), thread_count_(thread_count), context_(context) {}

  Result<std::vector<std::shared_ptr<const PruneRule>>> run(double sparsity, bool global) {
    std::vector<PruneGroup> groups;
    for (std::size_t t = 0; t < tensors_.size(); ++t) {
      if (groups.empty() || !global) groups.push_back({t, t, 0, 0, 0, 0, 0, 0, 0});
      groups.back().end = t + 1;
      groups.back().elements += tensors_[t].elements;
    }
    for (PruneGroup& group : groups) group.wanted = share_of(sparsity, group.elements);
    rules_.resize(tensors_.size());
    for (std::size_t at = 0; at < groups.size(); at += kGroupsAtOnce)
      KILTER_TRY(
          search(std::span(groups).subspan(at, std::min(kGroupsAtOnce, groups.size() - at))));
    return std::move(rules_);
  }

 private:
  Status search(std::span<PruneGroup> groups) {
    groups_ = groups;
    const std::vector<PrunePart> parts =
        parts_of(tensors_, groups.front().begin, groups.back().end);
    unsigned bits = 0;
    for (std::size_t t = groups.front().begin; t < groups.back().end; ++t)
      bits = std::max(bits, magnitude_bits(tensors_[t].dtype));
    for (unsigned low = (bits + kSearchDigitBits - 1) / kSearchDigitBits * kSearchDigitBits;
         low > 0;) {
      low -= kSearchDigitBits;
      KILTER_TRY(find_digit(parts, low));
    }
    KILTER_TRY(find_cuts(parts));
    for (const PruneGroup& group : groups)
      for (std::size_t t = group.begin; t < group.end; ++t) rules_[t] = rule_of(group, t);
    return ok();
  }

  std::size_t group_of(std::size_t tensor) const {
    if (groups_.size() == 1) return 0;
    return tensor - groups_.front().begin;  // one tensor in each
  }

  Jobs jobs_over(const std::vector<PrunePart>& parts) const {
    Jobs jobs{"threshold", parts.size(), {}, {}};
    jobs.bytes = [this, &parts](std::size_t i) {
      return parts[i].count * dtype_row(tensors_[parts[i].tensor].dtype).bits / 8U;
    };
    return jobs;
  }

  /// The next digit of every group's threshold, from a histogram of the keys that begin like it.
  Status find_digit(const std::vector<PrunePart>& parts, unsigned low) {
    std::vector<std::vector<std::uint64_t>> bins(groups_.size(), std::vector<std::uint64_t>(kBins));
    std::mutex mutex;
    Jobs jobs = jobs_over(parts);
    jobs.run = [&](std::size_t i) -> Status {
      const std::size_t g = group_of(parts[i].tensor);
      std::vector<std::uint64_t> own(kBins), keys;
      const std::uint64_t prefix = groups_[g].prefix;
      KILTER_TRY(for_keys(parts[i], [&](std::uint64_t, std::span<const std::uint64_t> some) {
        for (const std::uint64_t key : some)
          if (above(key, low) == prefix) ++own[static_cast<std::size_t>(key >> low) % kBins];
      }));
      const std::lock_guard guard(mutex);
      for (std::size_t b = 0; b < kBins; ++b) bins[g][b] += own[b];
      return {};
    };
    KILTER_TRY(run_jobs(jobs, thread_count_, context_));
    for (std::size_t g = 0; g < groups_.size(); ++g) take_digit(groups_[g], bins[g]);
    return ok();
  }

  static std::uint64_t above(std::uint64_t key, unsigned low) {
    return low + kSearchDigitBits >= 64 ? 0 : key >> (low + kSearchDigitBits);
  }

  /// The bin in which the last element to go lies.
  static void take_digit(PruneGroup& group, const std::vector<std::uint64_t>& bins) {
    std::size_t digit = 0;
    while (digit + 1 < bins.size() && group.below + bins[digit] < group.wanted)
      group.below += bins[digit++];
    group.prefix = group.prefix << kSearchDigitBits | digit;
    group.equal = bins[digit];
  }

  /// Where those that are equal to the threshold begin to go.
  Status find_cuts(const std::vector<PrunePart>& parts) {
    std::vector<std::uint64_t> ties(parts.size(), 0);
    std::vector<std::uint64_t> stay(groups_.size(), 0);
    bool any = false;
    for (std::size_t g = 0; g < groups_.size(); ++g) {
      PruneGroup& group = groups_[g];
      stay[g] = group.equal - std::min(group.equal, group.wanted - group.below);
      group.cut_tensor = group.begin;
      group.cut = 0;
      any = any || stay[g] > 0;
    }
    if (!any) return ok();
    Jobs jobs = jobs_over(parts);
    jobs.run = [&](std::size_t i) -> Status {
      const std::size_t g = group_of(parts[i].tensor);
      if (stay[g] == 0) return {};
      return for_keys(parts[i], [&](std::uint64_t, std::span<const std::uint64_t> keys) {
        ties[i] += static_cast<std::uint64_t>(std::ranges::count(keys, groups_[g].prefix));
      });
    };
    KILTER_TRY(run_jobs(jobs, thread_count_, context_));
    for (std::size_t i = 0; i < parts.size(); ++i) KILTER_TRY(pass_ties(parts[i], ties[i], stay));
    return ok();
  }

  /// Goes on behind the ties of a part while more of them stay; finds the cut in the last one.
  Status pass_ties(const PrunePart& part, std::uint64_t ties, std::vector<std::uint64_t>& stay) {
    const std::size_t g = group_of(part.tensor);
    if (stay[g] == 0) return ok();
    PruneGroup& group = groups_[g];
    group.cut_tensor = part.tensor;
    group.cut = part.first + part.count;
    if (ties < stay[g]) {
      stay[g] -= ties;
      return ok();
    }
    return for_keys(part, [&](std::uint64_t first, std::span<const std::uint64_t> keys) {
      for (std::size_t i = 0; i < keys.size() && stay[g] > 0; ++i)
        if (keys[i] == group.prefix && --stay[g] == 0) group.cut = first + i + 1;
    });
  }

  template <typename Use>
  Status for_keys(const PrunePart& part, Use use) const {
    const PruneTensor& tensor = tensors_[part.tensor];
    std::vector<std::uint64_t> keys;
    return read_part(input_, tensor, part, context_,
                     [&](std::uint64_t first, std::span<const std::byte> bytes) {
                       keys.resize(bytes.size() / (dtype_row(tensor.dtype).bits / 8U));
                       magnitude_keys(tensor.dtype, bytes, keys);
                       use(first, std::span<const std::uint64_t>(keys));
                     });
  }

  std::shared_ptr<const PruneRule> rule_of(const PruneGroup& group, std::size_t tensor) const {
    constexpr std::uint64_t kAll = std::numeric_limits<std::uint64_t>::max();
    if (group.wanted == 0) return std::make_shared<ThresholdRule>(0, kAll);
    std::uint64_t cut = 0;
    if (tensor < group.cut_tensor) cut = kAll;
    if (tensor == group.cut_tensor) cut = group.cut;
    return std::make_shared<ThresholdRule>(group.prefix, cut);
  }

  const WeightsInput& input_;
  const std::vector<PruneTensor>& tensors_;
  const unsigned thread_count_;
  const RunContext& context_;
  std::span<PruneGroup> groups_;
  std::vector<std::shared_ptr<const PruneRule>> rules_;
};

/// The slices of smallest norm go.
std::shared_ptr<const PruneRule> slice_rule(const PruneSlices& slices,
                                            const std::vector<double>& squares, double fraction) {
  std::vector<std::size_t> order(squares.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::ranges::sort(order, [&](std::size_t a, std::size_t b) {
    return squares[a] != squares[b] ? squares[a] < squares[b] : a > b;
  });
  std::vector<bool> kept(squares.size(), true);
  const std::uint64_t gone = share_of(fraction, squares.size());
  for (std::size_t i = 0; i < gone; ++i) kept[order[i]] = false;
  return std::make_shared<SliceRule>(slices.inner, std::move(kept));
}

}  // namespace

std::uint64_t share_of(double share, std::uint64_t count) {
  const double wanted = std::nearbyint(share * static_cast<double>(count));
  return std::min(count, static_cast<std::uint64_t>(std::max(wanted, 0.0)));
}

Result<std::vector<std::shared_ptr<const PruneRule>>> find_thresholds(
    const WeightsInput& input, const std::vector<PruneTensor>& tensors, double sparsity,
    bool global, unsigned thread_count, const RunContext& context) {
  return ThresholdSearch(input, tensors, thread_count, context).run(sparsity, global);
}

Result<std::vector<std::shared_ptr<const PruneRule>>> find_weak_slices(
    const WeightsInput& input, const std::vector<PruneTensor>& tensors,
    const std::vector<PruneSlices>& slices, double fraction, unsigned thread_count,
    const RunContext& context) {
  const std::vector<PrunePart> parts = parts_of(tensors, 0, tensors.size());
  struct PartSums {
    std::uint64_t first_slice = 0;  // only rows are few in a part
    std::vector<double> squares;
  };
  std::vector<PartSums> sums(parts.size());
  Jobs jobs{"norms", parts.size(), {}, {}};
  jobs.bytes = [&](std::size_t i) {
    return parts[i].count * dtype_row(tensors[parts[i].tensor].dtype).bits / 8U;
  };
  jobs.run = [&](std::size_t i) -> Status {
    const PrunePart& part = parts[i];
    const PruneTensor& tensor = tensors[part.tensor];
    const PruneSlices& cut = slices[part.tensor];
    const bool rows = cut.inner * cut.count == tensor.elements;
    const std::uint64_t begin = rows ? part.first / cut.inner : 0;
    const std::uint64_t end = rows ? (part.first + part.count - 1) / cut.inner + 1 : cut.count;
    sums[i] = {begin, std::vector<double>(static_cast<std::size_t>(end - begin), 0.0)};
    std::vector<double> values;
    return read_part(input, tensor, part, context,
                     [&](std::uint64_t first, std::span<const std::byte> bytes) {
                       values.resize(bytes.size() / (dtype_row(tensor.dtype).bits / 8U));
                       widen_floats(tensor.dtype, bytes.data(), values.size(), values.data());
                       std::uint64_t within = first % cut.inner;
                       std::uint64_t slice = first / cut.inner % cut.count;
                       for (const double value : values) {
                         sums[i].squares[static_cast<std::size_t>(slice - begin)] += value * value;
                         if (++within < cut.inner) continue;
                         within = 0;
                         slice = slice + 1 == cut.count ? 0 : slice + 1;
                       }
                     });
  };
  KILTER_TRY(run_jobs(jobs, thread_count, context));
  std::vector<std::vector<double>> squares;
  for (const PruneSlices& cut : slices) squares.emplace_back(cut.count, 0.0);
  for (std::size_t i = 0; i < parts.size(); ++i)
    for (std::size_t s = 0; s < sums[i].squares.size(); ++s)
      squares[parts[i].tensor][static_cast<std::size_t>(sums[i].first_slice) + s] +=
          sums[i].squares[s];
  std::vector<std::shared_ptr<const PruneRule>> rules;
  for (std::vector<double>& row : squares)  // NaN is larger than every number
    for (double& sum : row) sum = std::isnan(sum) ? std::numeric_limits<double>::infinity() : sum;
  for (std::size_t t = 0; t < tensors.size(); ++t)
    rules.push_back(slice_rule(slices[t], squares[t], fraction));
  return rules;
}

}  // namespace kilter::ops
