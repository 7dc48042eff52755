// What some methods must know of whole tensors before their kernels can run.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/raw_bytes.h"
#include "ops/merge/tensor_merge.h"

namespace kilter::ops {

inline constexpr std::uint64_t kStudyBlockElements = 32U << 10;
/// A multiple of the block. Sums are made part by part, so that threads do not change them.
inline constexpr std::uint64_t kStudyPartElements = 1U << 20;

/// A run of elements of every input: the base first, if there is one.
struct StudyBlock {
  std::uint64_t first = 0;
  std::size_t count = 0;  ///< at most block_elements()
  std::span<const Bytes> inputs;
};

/// The inputs of one merge, as runs of elements.
class MergeReader {
 public:
  explicit MergeReader(const TensorMerge& merge);
  std::uint64_t elements() const { return elements_; }
  std::size_t input_count() const { return inputs_.size(); }
  DType dtype(std::size_t input) const { return inputs_[input]->dtype; }
  std::uint64_t element_bytes() const;  ///< of all inputs together

  struct Buffers {
    std::vector<RawBytes> bytes;
    std::vector<Bytes> views;
  };
  Result<StudyBlock> read(std::uint64_t first, std::size_t count, Buffers& buffers) const;
  /// Elements [at, at + count) of a block, widened.
  void widen(const StudyBlock& block, std::size_t input, std::size_t at, std::size_t count,
             double* out) const;

 private:
  std::vector<const MergeTerm*> inputs_;
  std::uint64_t elements_ = 1;
};

/// Passes over one tensor, then its kernel. next_pass() and finish() run on one thread at a time;
/// add() runs on several, each with other parts, a part's blocks in order.
class MergeStudy {
 public:
  /// `merge` must outlive the study.
  explicit MergeStudy(const TensorMerge& merge) : merge_(merge), reader_(merge) {}
  virtual ~MergeStudy() = default;
  const MergeReader& reader() const { return reader_; }
  const TensorMerge& merge() const { return merge_; }

  virtual std::uint64_t block_elements() const { return kStudyBlockElements; }
  virtual std::uint64_t part_elements() const { return kStudyPartElements; }
  std::uint64_t part_count() const;
  /// Bytes it may hold while it runs.
  virtual std::uint64_t memory_bytes() const { return 1 << 20; }
  /// False: nothing more to read.
  virtual Result<bool> next_pass() = 0;
  virtual Status add(const StudyBlock& block) = 0;
  /// The kernel; null where the one input is copied.
  virtual Result<std::shared_ptr<const Kernel>> finish() = 0;

 private:
  const TensorMerge& merge_;
  MergeReader reader_;
};

/// Runs all, as many at a time as the budget allows. The kernels in order.
Result<std::vector<std::shared_ptr<const Kernel>>> run_studies(
    std::span<const std::unique_ptr<MergeStudy>> studies, const MergePasses& passes);

}  // namespace kilter::ops
