// An output that is gone on with after an interruption. Source: spec/partial-output.md.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "flow/engine.h"
#include "flow/sink.h"
#include "io/file_system.h"
#include "ops/output_place.h"

namespace kilter::ops {

/// How far an unfinished output has come.
struct PartialState {
  std::string plan;  ///< layout_digest()
  std::size_t file = 0;
  std::uint64_t offset_bytes = 0;
};
std::string write_partial_state(const PartialState& state);
/// Errors: kMalformed; kUnsupported for another version.
Result<PartialState> parse_partial_state(std::string_view text);

/// BLAKE3 of the layout, which holds the recipe.
std::string layout_digest(const std::vector<FileLayout>& layout);

/// Holds the lock on an unfinished output and its state file.
class UnfinishedOutput {
 public:
  /// Errors: kAlreadyExists if another process writes it, or if what
  /// is there is of another plan (named, with what to do).
  static Result<UnfinishedOutput> open(io::FileSystem& files, const Place& place,
                                       const std::vector<FileLayout>& layout);

  /// Where to begin, and what records how far the run has come. Valid as long as this.
  const EngineResume& resume() const { return *resume_; }
  /// After the output was published: removes the state.
  void finish();

 private:
  UnfinishedOutput() = default;
  Status take_lock(io::FileSystem& files, const std::string& path);
  io::FileSystem* files_ = nullptr;
  std::string state_path_, lock_path_;
  std::unique_ptr<io::FileLock> lock_;
  std::unique_ptr<EngineResume> resume_;
};

}  // namespace kilter::ops
