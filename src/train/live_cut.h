// A consistent cut through tensors that training goes on to change.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "kilter/state.h"

#include "base/raw_bytes.h"
#include "base/thread_pool.h"
#include "train/staging_pool.h"

namespace kilter::train {

/// The tensors of one save, as they were at one moment. Each is cut into pieces; a piece is read by
/// the writer from live memory, or, once training wants to go on, from a copy.
///
/// Every piece is in one state after the other, moved by whoever wins it:
///
///     live ──→ being read ──→ read
///       └────→ being copied ──→ copied ──→ read
///
/// so a piece is never both changed and read.
class LiveCut {
 public:
  /// A tensor and the bytes of its pieces (the last may be shorter).
  struct Part {
    LiveTensor tensor;
    std::uint64_t bytes = 0;
    std::uint64_t piece_bytes = 0;
  };

  /// Copies what is small and what is not contiguous; the rest stays live, so that stage(kLoose)
  /// must follow. `pool` must outlive it. Errors: kLimitExceeded for lack of memory.
  static Result<std::unique_ptr<LiveCut>> make(std::vector<Part> parts, StagingPool& pool,
                                               ThreadPool* helpers);

  /// Fills `out` with bytes of a part: for one that is live, one whole piece, asked for once. From
  /// any thread. Errors: kCancelled after abandon().
  Status read(std::size_t part, std::uint64_t offset_bytes, std::span<std::byte> out);

  enum class WhenFull : std::uint8_t { kWait, kGiveUp };
  enum class Which : std::uint8_t { kLoose, kAll };  ///< what is not held; everything
  struct Staged {
    std::uint64_t bytes = 0;  ///< that were copied
    bool whole = true;        ///< false: the pool was too small (kGiveUp)
  };
  /// The live memory may be changed once it returns. Copies what the writer has not read; where the
  /// pool is full, waits until the writer has read the rest, or gives up.
  Staged stage(Which which, WhenFull when_full);
  /// stage() has given up. True before any reader learns of it.
  bool gave_up() const { return gave_up_; }
  /// Nothing reads the live memory once it returns, and nothing will.
  void abandon();
  /// True if nothing leans on live memory any more.
  bool settled() const { return open_held_ == 0 && open_loose_ == 0; }

  std::uint64_t live_bytes() const { return live_bytes_; }
  std::uint64_t copied_bytes() const { return copied_bytes_; }  ///< by make()

 private:
  enum class Stage : std::uint8_t { kLive, kBusy, kRead, kCopied };
  struct Piece {
    std::atomic<Stage> stage{Stage::kLive};
    bool held = true;
    const std::byte* from = nullptr;
    std::uint64_t bytes = 0;
  };
  explicit LiveCut(StagingPool& pool, ThreadPool* helpers) : pool_(pool), helpers_(helpers) {}
  Status freeze(std::size_t part);
  void add_pieces(std::size_t part);
  struct Copying;
  void copy_pieces(Copying& copying);
  bool any_live(Which which) const;
  void close(Piece& piece, Stage stage);
  void wait_settled(Which which);

  StagingPool& pool_;
  ThreadPool* helpers_;
  std::vector<Part> parts_;
  std::vector<RawBytes> frozen_;          // by part; empty where it is live
  std::vector<std::size_t> first_piece_;  // by part
  std::unique_ptr<Piece[]> pieces_;
  std::size_t piece_count_ = 0;
  // Pieces that are live or being read from there.
  std::atomic<std::size_t> open_held_{0}, open_loose_{0};
  std::atomic<bool> abandoned_{false}, gave_up_{false};
  std::atomic<bool> copying_{
      false};  // training waits: the writer leaves the processors to the copy
  std::uint64_t live_bytes_ = 0, loose_bytes_ = 0, copied_bytes_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
};

}  // namespace kilter::train
