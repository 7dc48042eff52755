// The k-th largest key of a tensor of any size, exactly, in bounded memory.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "base/try.h"
#include "ops/merge/kernels/selection_lanes.h"
#include "ops/merge/merge_study.h"

namespace kilter::ops {

/// Finds where the first `rank` elements end, in the order of larger key, then lower index.
///
/// One pass is usual: a sample says between which keys the end lies; those are collected, and the
/// ones above them counted. Where that window misses or overflows, histograms find the key, and
/// counts by block the last element that has it. Which way was taken never shows in the result.
class RankSearch {
 public:
  /// Keys of a block, by whoever owns the search.
  using ReadKeys =
      std::function<Result<std::vector<std::uint32_t>>(std::uint64_t first, std::size_t count)>;
  RankSearch(std::uint64_t rank, std::uint64_t elements, std::uint64_t memory_bytes_max);

  /// What it may hold, histograms of some threads included.
  std::uint64_t memory_bytes() const;
  /// A key for each of `sample`, taken all over the tensor; may be reordered. Optional.
  void guess(std::span<std::uint32_t> sample);
  bool done() const { return stage_ == Stage::kDone; }
  /// Judges what the last pass found. After it: done(), or another pass.
  Status advance(const ReadKeys& read);
  /// A whole block. Any thread.
  void add(std::uint64_t first, std::span<const std::uint32_t> keys);
  /// Its key is that of the last element within, where there is one.
  const RankCut& cut() const { return cut_; }

 private:
  enum class Stage : std::uint8_t { kStart, kCollect, kCoarse, kFine, kTies, kDone };
  struct Candidate {
    std::uint64_t element;
    std::uint32_t key;
  };
  using Histogram = std::vector<std::uint64_t>;

  void finish(RankCut cut);
  void judge_collection();
  void judge_coarse();
  void judge_fine();
  Status judge_ties(const ReadKeys& read);
  void begin_collection(std::uint32_t low, std::uint32_t high);
  void begin_histogram(Stage stage);
  Histogram total();
  void add_collection(std::uint64_t first, std::span<const std::uint32_t> keys);
  void add_histogram(std::span<const std::uint32_t> keys);
  void add_ties(std::uint64_t first, std::span<const std::uint32_t> keys);

  std::uint64_t rank_, elements_;
  std::size_t candidates_max_;
  Stage stage_ = Stage::kStart;
  bool is_guessed_ = false;
  std::uint32_t low_ = 0, high_ = 0x7FFFFFFF;  // window of keys
  RankCut cut_;

  std::mutex mutex_;
  std::uint64_t above_ = 0;  // elements beyond the window
  std::uint64_t beyond_bin_ = 0;
  bool overflows_ = false;
  std::vector<Candidate> candidates_;
  std::vector<std::unique_ptr<Histogram>> idle_;
  std::vector<std::uint32_t> ties_;  // by block
};

}  // namespace kilter::ops
