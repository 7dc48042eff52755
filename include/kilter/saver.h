// Saves the state of a training run while it goes on, and puts it back. Owned by the floor `train`.
//
//   auto saver = kilter::Saver::open("runs.kilter", {.keep = {.last = 3}});
//   auto from = saver->resume(state);                    // 0 where there is nothing yet
//   for (std::int64_t step = from->step; step < 10'000;) {
//     forward_and_backward();
//     saver->before_update();                            // copies what is not yet written
//     optimizer_step();
//     if (++step % 100 == 0) saver->save(step, state, {{"loss", loss}});
//   }
//   saver->wait();
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kilter/checkpoint.h"
#include "kilter/metadata.h"
#include "kilter/state.h"
#include "kilter/upkeep.h"

namespace kilter {

/// What a save does with data on its way to the disk.
enum class SaveCoding : std::uint8_t {
  kRaw,    ///< nothing: the least processor time; `kilter compact` makes it small later
  kFast,   ///< encodes as long as the disk has to be waited for anyway: the shortest save
  kSmall,  ///< encodes everything
};

struct SaverOptions {
  std::string branch = "main";
  /// Write a folder step-00001200 for each step into this plain folder, instead of a store.
  bool plain_folder = false;
  std::string author = {};  ///< default: KILTER_AUTHOR, else user@host

  /// The caller calls before_update() ahead of every change of tensors that are `held`. Without it
  /// they are copied before save() returns.
  bool announces_updates = false;
  /// Memory that what is not yet written is copied into. It is taken once, as much as the state
  /// needs and no more than this, and kept.
  std::uint64_t staging_bytes_max = 1ULL << 30;
  /// Where that is not enough: wait until the rest is written, or give this save up (the ticket
  /// says so). A step is never torn.
  bool skip_when_full = false;
  /// Where the save before is still being written: wait for it, or leave this one out.
  bool skip_when_busy = false;

  SaveCoding coding = SaveCoding::kRaw;
  unsigned thread_count = 0;                       ///< of the writer; 0: as many as there are
  std::uint64_t write_memory_bytes = 96ULL << 20;  ///< of data on its way, beside the staging
  /// What stays (include/kilter/upkeep.h); no rule: everything. Applied behind each save, beside
  /// training and the next save.
  RetainRequest keep = {};
};

/// What became of a save.
struct SaveReport {
  std::int64_t step = 0;
  bool skipped = false;            ///< nothing was saved: busy, or no room to stage
  std::string commit;              ///< digest, or the folder's name
  std::uint64_t bytes = 0;         ///< of all tensors
  std::uint64_t new_bytes = 0;     ///< of them that were not in the store yet
  std::uint64_t stored_bytes = 0;  ///< what these occupy
  std::uint64_t staged_bytes = 0;  ///< copied because training went on
  double pause_seconds = 0;        ///< that training stood still: save() and before_update()
  double seconds = 0;              ///< from save() until durable
};

/// One save on its way. Cheap to copy; from any thread.
class SaveTicket {
 public:
  struct Shared;
  explicit SaveTicket(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}
  bool done() const;
  /// Durable, or what went wrong. Errors: as Store::save(); kCancelled where it ran out of time.
  Result<SaveReport> wait() const;
  /// The same for at most so long; nullopt if it is not done by then.
  std::optional<Result<SaveReport>> wait_for(double seconds) const;

 private:
  std::shared_ptr<Shared> shared_;
};

/// A step that could not be used, and why.
struct DamagedStep {
  std::int64_t step = 0;
  std::string commit;
  Error error;
};

struct ResumeReport {
  std::int64_t step = 0;  ///< 0: there is nothing to resume from
  std::string commit;
  Metadata metadata;
  std::vector<DamagedStep> damaged;  ///< newer than the one that was taken
};

/// A step opened for reading.
struct OpenedStep {
  Checkpoint checkpoint;
  StateTree state;  ///< as it was saved; kTensor nodes hold positions in checkpoint.tensors()
  ResumeReport report;
};

/// Writes one step at a time, on threads of its own. Calls come from one thread, the training's;
/// tickets may be used from any.
class Saver {
 public:
  /// Opens the store (a folder or "s3://…"), which is made if it is missing. Errors: as
  /// Store::open_or_create().
  static Result<Saver> open(const std::string& address, SaverOptions options = {});
  Saver(Saver&&) noexcept;
  Saver& operator=(Saver&&) noexcept;
  /// Waits for what is being written.
  ~Saver();

  /// Begins to save and returns. Values are taken as they are now; tensors that are `held` are read
  /// until before_update(), or copied now if the caller does not announce updates. `metadata` goes
  /// into the commit, with the step (spec/metadata.md).
  /// Errors: that of an earlier save, once: call again to save; kInvalidArgument for a state that
  /// cannot be.
  Result<SaveTicket> save(std::int64_t step, const State& state, const Metadata& metadata = {});

  /// Call it right before the optimizer changes anything. Copies what is not yet written; training
  /// may change all tensors once it returns. Does nothing, quickly, where nothing is being saved.
  /// Errors: that of an earlier save, once.
  Status before_update();

  /// Everything that was begun is durable, and what retention gives up is gone. Errors: that of an
  /// earlier save, once.
  Status wait();

  /// Takes the memory that saving this state needs, so that the first save is like the rest.
  Status prepare(const State& state);

  /// Puts the newest intact step back: tensors into their live memory, bound values to where they
  /// are. A step that is damaged is left for the one before, and reported. Nothing saved yet: step
  /// 0, nothing changes.
  /// Errors: kInvalidArgument naming everything that does not fit (missing, unexpected, dtype,
  /// shape), before anything is written; kCorrupt if no step is intact: tensors are undefined then.
  Result<ResumeReport> resume(State& state, const RunContext& context = {});

  /// The newest step, opened; `before` asks for one older than this commit. nullopt if there is
  /// none. For who fits the state himself.
  Result<std::optional<OpenedStep>> open_newest(const std::string& before = {});

  /// From now on SIGTERM sets a flag instead of ending the process; a handler that was there is
  /// still called. For the whole process.
  static Status watch_preemption();
  /// SIGTERM came.
  static bool preempted();
  /// Called once preempted(): finishes the save that is running, then saves this step, if there is
  /// time for it. Returns within about `seconds`. Errors: kCancelled if this step is not durable by
  /// then: the one before is the newest.
  Result<SaveReport> on_preempt(std::int64_t step, const State& state, double seconds,
                                const Metadata& metadata = {});

 private:
  struct Impl;
  explicit Saver(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// Reads tensors of a checkpoint straight into memory, on all threads. `targets` are contiguous, in
/// the order of `numbers` (positions in checkpoint.tensors()), with the same dtype and shape.
/// Errors: kInvalidArgument where they differ; as Checkpoint::read_tensor().
struct LoadTarget {
  std::size_t number = 0;
  LiveTensor tensor;
};
Status load_into(const Checkpoint& checkpoint, const std::vector<LoadTarget>& targets,
                 const RunContext& context = {});

}  // namespace kilter
