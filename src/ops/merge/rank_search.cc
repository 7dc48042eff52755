#include "ops/merge/rank_search.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace kilter::ops {
namespace {

constexpr unsigned kCoarseShift = 15;  // 31 bits of a key: 16, then 15
constexpr std::size_t kCoarseBins = std::size_t{1} << 16;
constexpr std::size_t kFineBins = std::size_t{1} << kCoarseShift;
constexpr std::size_t kWholeElements = 128U << 10;  // as many are simply collected
constexpr double kGuessDeviations = 5;
constexpr std::size_t kKeysAtATime = 1024;

/// The bin in which the `rank`-th largest lies; `above` grows by what lies in higher ones.
std::size_t bin_of_rank(const std::vector<std::uint64_t>& bins, std::uint64_t rank,
                        std::uint64_t& above) {
  std::size_t bin = bins.size() - 1;
  while (bin > 0 && above + bins[bin] < rank) above += bins[bin--];
  return bin;
}

}  // namespace

RankSearch::RankSearch(std::uint64_t rank, std::uint64_t elements, std::uint64_t memory_bytes_max)
    : rank_(rank), elements_(elements) {
  const std::uint64_t fitting = memory_bytes_max / sizeof(Candidate) / 2;  // vectors double
  candidates_max_ = static_cast<std::size_t>(
      std::max<std::uint64_t>(std::min(fitting, elements / 16), kKeysAtATime));
  if (elements <= kWholeElements && elements <= fitting)
    candidates_max_ = static_cast<std::size_t>(elements);
  if (rank == 0) finish(kCutNone);
  if (rank > elements) finish(kCutAll);
}

std::uint64_t RankSearch::memory_bytes() const {
  if (done()) return 0;
  return 2 * candidates_max_ * sizeof(Candidate) + 2 * kCoarseBins * sizeof(std::uint64_t);
}

void RankSearch::finish(RankCut cut) {
  cut_ = cut;
  stage_ = Stage::kDone;
  candidates_ = {};
  idle_.clear();
  ties_ = {};
}

void RankSearch::guess(std::span<std::uint32_t> sample) {
  if (done() || sample.empty() || elements_ <= candidates_max_) return;
  const double share = static_cast<double>(rank_) / static_cast<double>(elements_);
  const auto size = static_cast<double>(sample.size());
  const double spread = kGuessDeviations * std::sqrt(size * share * (1 - share)) + 4;
  const auto key_at = [&](double position) {  // 0: the largest
    const double clamped = std::clamp(position, 0.0, size - 1);
    const auto nth = sample.begin() + static_cast<std::ptrdiff_t>(clamped);
    std::ranges::nth_element(sample, nth, std::ranges::greater());
    return *nth;
  };
  const double middle = share * size;
  if (middle - spread >= 0) high_ = key_at(middle - spread);
  low_ = middle + spread < size ? key_at(middle + spread) : 0;
  is_guessed_ = true;
  const double expected = 2.5 * spread / size * static_cast<double>(elements_);
  candidates_.reserve(std::min(candidates_max_, static_cast<std::size_t>(expected)));
}

Status RankSearch::advance(const ReadKeys& read) {
  switch (stage_) {
    case Stage::kStart:
      if (is_guessed_ || elements_ <= candidates_max_)
        begin_collection(low_, high_);
      else
        begin_histogram(Stage::kCoarse);
      break;
    case Stage::kCollect:
      judge_collection();
      break;
    case Stage::kCoarse:
      judge_coarse();
      break;
    case Stage::kFine:
      judge_fine();
      break;
    case Stage::kTies:
      return judge_ties(read);
    case Stage::kDone:
      break;
  }
  return ok();
}

void RankSearch::add(std::uint64_t first, std::span<const std::uint32_t> keys) {
  if (stage_ == Stage::kCollect) add_collection(first, keys);
  if (stage_ == Stage::kCoarse || stage_ == Stage::kFine) add_histogram(keys);
  if (stage_ == Stage::kTies) add_ties(first, keys);
}

void RankSearch::begin_collection(std::uint32_t low, std::uint32_t high) {
  stage_ = Stage::kCollect;
  low_ = low;
  high_ = high;
  above_ = 0;
  overflows_ = false;
  candidates_.clear();
}

void RankSearch::add_collection(std::uint64_t first, std::span<const std::uint32_t> keys) {
  {
    const std::lock_guard guard(mutex_);
    if (overflows_) return;
  }
  std::array<std::uint32_t, kKeysAtATime + 64> offsets, found_keys;
  std::vector<Candidate> found;
  std::uint64_t above = 0;
  for (std::size_t at = 0; at < keys.size(); at += kKeysAtATime) {
    const std::size_t some = std::min(kKeysAtATime, keys.size() - at);
    const std::size_t count = collect_window(keys.data() + at, some, low_, high_, &above,
                                             offsets.data(), found_keys.data());
    for (std::size_t i = 0; i < count; ++i)
      found.push_back({first + at + offsets[i], found_keys[i]});
  }
  const std::lock_guard guard(mutex_);
  above_ += above;
  if (candidates_.size() + found.size() > candidates_max_)
    overflows_ = true;
  else
    candidates_.insert(candidates_.end(), found.begin(), found.end());
}

void RankSearch::judge_collection() {
  const bool holds = !overflows_ && above_ < rank_ && rank_ <= above_ + candidates_.size();
  if (!holds && is_guessed_) {
    is_guessed_ = false;
    return begin_histogram(Stage::kCoarse);
  }
  if (!holds) return begin_histogram(Stage::kFine);
  const auto last = candidates_.begin() + static_cast<std::ptrdiff_t>(rank_ - above_ - 1);
  std::ranges::nth_element(candidates_, last, [](const Candidate& a, const Candidate& b) {
    return a.key != b.key ? a.key > b.key : a.element < b.element;
  });
  finish({last->key, last->element + 1});
}

void RankSearch::begin_histogram(Stage stage) {
  stage_ = stage;
  candidates_ = {};
  idle_.clear();
}

void RankSearch::add_histogram(std::span<const std::uint32_t> keys) {
  std::unique_ptr<Histogram> bins;
  {
    const std::lock_guard guard(mutex_);
    if (!idle_.empty()) {
      bins = std::move(idle_.back());
      idle_.pop_back();
    }
  }
  if (!bins) bins = std::make_unique<Histogram>(kCoarseBins);
  if (stage_ == Stage::kCoarse) {
    for (const std::uint32_t key : keys) ++(*bins)[key >> kCoarseShift];
  } else {
    for (const std::uint32_t key : keys)
      if (key >= low_ && key <= high_) ++(*bins)[key - low_];
  }
  const std::lock_guard guard(mutex_);
  idle_.push_back(std::move(bins));
}

RankSearch::Histogram RankSearch::total() {
  Histogram out(kCoarseBins);
  for (const auto& bins : idle_)
    for (std::size_t i = 0; i < out.size(); ++i) out[i] += (*bins)[i];
  idle_.clear();
  return out;
}

void RankSearch::judge_coarse() {
  beyond_bin_ = 0;
  const auto bin = static_cast<std::uint32_t>(bin_of_rank(total(), rank_, beyond_bin_));
  begin_collection(bin << kCoarseShift, bin << kCoarseShift | (kFineBins - 1));
}

void RankSearch::judge_fine() {
  const Histogram bins = total();
  above_ = beyond_bin_;
  const std::size_t bin = bin_of_rank(bins, rank_, above_);
  low_ = high_ = low_ + static_cast<std::uint32_t>(bin);
  if (rank_ - above_ == bins[bin]) return finish({low_, ~std::uint64_t{0}});
  stage_ = Stage::kTies;
  ties_.assign(
      static_cast<std::size_t>((elements_ + kStudyBlockElements - 1) / kStudyBlockElements), 0);
}

void RankSearch::add_ties(std::uint64_t first, std::span<const std::uint32_t> keys) {
  ties_[static_cast<std::size_t>(first / kStudyBlockElements)] =
      static_cast<std::uint32_t>(std::ranges::count(keys, low_));
}

Status RankSearch::judge_ties(const ReadKeys& read) {
  std::uint64_t wanted = rank_ - above_;
  std::size_t block = 0;
  while (block + 1 < ties_.size() && ties_[block] < wanted) wanted -= ties_[block++];
  const std::uint64_t first = block * kStudyBlockElements;
  KILTER_ASSIGN(
      const std::vector<std::uint32_t> keys,
      read(first, static_cast<std::size_t>(std::min(kStudyBlockElements, elements_ - first))));
  std::size_t at = 0;
  for (; at < keys.size() && wanted > 0; ++at) wanted -= keys[at] == low_ ? 1U : 0U;
  finish({low_, first + at});
  return ok();
}

}  // namespace kilter::ops
