// Rank searches over the magnitudes of a tensor's task vectors.
#pragma once

#include <memory>
#include <vector>

#include "ops/merge/rank_search.h"

namespace kilter::ops {

/// Searches that share one key for each element; a block's keys are made once for all of them.
class KeySearches {
 public:
  /// Keys of a block: larger is ranked first.
  using MakeKeys = std::function<void(const StudyBlock& block, std::span<std::uint32_t> keys)>;
  KeySearches(const MergeReader& reader, MakeKeys make) : reader_(reader), make_(std::move(make)) {}

  /// Returns its number.
  std::size_t search(std::uint64_t rank, std::uint64_t memory_bytes_max);
  std::uint64_t memory_bytes() const;
  /// False once all are done. The first call reads a sample.
  Result<bool> next_pass();
  void add(const StudyBlock& block);
  const RankCut& cut(std::size_t search) const { return searches_[search]->cut(); }

 private:
  Status read_sample();
  Result<std::vector<std::uint32_t>> keys_of(std::uint64_t first, std::size_t count) const;
  const MergeReader& reader_;
  MakeKeys make_;
  bool is_begun_ = false;
  std::vector<std::unique_ptr<RankSearch>> searches_;
};

/// |term - base| of the terms' elements.
KeySearches::MakeKeys task_vector_keys(const MergeReader& reader, std::size_t term, bool wide);

}  // namespace kilter::ops
