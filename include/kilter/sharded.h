// One step saved by several processes; boxes of tensors. Owned by the floor `train`.
//
//   auto saver = kilter::ShardedSaver::open("/shared/runs.kilter");       // on every rank
//   auto part = saver->write(rank, {{"w@0,0", tensor}});                  // on every rank
//   ... all parts to rank 0, by whatever the ranks talk with ...
//   auto saved = saver->commit(1200, parts, {{"layout.json", text}});     // on rank 0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kilter/saver.h"

namespace kilter {

/// Ranks write their parts at the same time; one of them makes the step of all. Until it has, the
/// step before is the newest, whoever dies.
class ShardedSaver {
 public:
  /// Errors: as Saver::open(); kUnsupported for `options.plain_folder`.
  static Result<ShardedSaver> open(const std::string& address, SaverOptions options = {});
  ShardedSaver(ShardedSaver&&) noexcept;
  ShardedSaver& operator=(ShardedSaver&&) noexcept;
  ~ShardedSaver();

  /// Writes rank-00003.safetensors for rank 3, durable when it returns; the tensors may be changed
  /// then. Returns what commit() needs to know of it. The part is safe from collectors until
  /// release() or the next write().
  /// Errors: as Saver::save(), and those of the store.
  Result<std::string> write(unsigned rank,
                            const std::vector<std::pair<std::string, LiveTensor>>& tensors);

  /// Makes the step. `files` lie beside the tensors; their names begin with a letter before 'r'.
  /// Errors: kMalformed for a text that no write() returned; kNotFound for a part that is not in
  /// this store; those of the store.
  Result<SaveReport> commit(std::int64_t step, const std::vector<std::string>& parts,
                            const std::vector<std::pair<std::string, std::string>>& files = {},
                            const Metadata& metadata = {});

  /// The step is made, or given up: what write() stored may be collected if nothing refers to it.
  void release();

 private:
  struct Impl;
  explicit ShardedSaver(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// A box of a tensor and where it goes. `offsets` and `target.shape` have one number for each
/// dimension of the tensor.
struct BoxTarget {
  std::size_t number = 0;             ///< in Checkpoint::tensors()
  std::vector<std::int64_t> offsets;  ///< of the box in the tensor, elements
  LiveTensor target;                  ///< the box; may be strided
};

/// Reads boxes straight into memory, on all threads, no more than the rows that hold them. Dtypes
/// must be equal and fill whole bytes.
/// Errors: kInvalidArgument for boxes that are not in their tensor; as Checkpoint::read_tensor().
Status load_boxes(const Checkpoint& checkpoint, const std::vector<BoxTarget>& targets,
                  const RunContext& context = {});

}  // namespace kilter
