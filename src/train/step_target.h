// Where steps are kept: a store, or a plain folder.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "kilter/saver.h"

#include "train/step_layout.h"

namespace kilter::train {

/// One step on its way.
struct StepContent {
  std::int64_t step = 0;
  StepLayout layout;
  Metadata metadata;
  /// Fills bytes of an output: one of at least 4096 bytes in whole pieces
  /// (StepTarget::piece_bytes), each once. From any thread.
  std::function<Status(std::size_t output, std::uint64_t offset_bytes, std::span<std::byte> out)>
      read;
  RunContext context = {};
};

struct WrittenStep {
  std::string name;  ///< digest of the commit, or the folder's
  std::uint64_t new_bytes = 0;
  std::uint64_t stored_bytes = 0;
};

/// For one writer at a time; open_newest() may be called beside it.
class StepTarget {
 public:
  virtual ~StepTarget() = default;
  /// How outputs of this dtype are asked for.
  virtual std::uint64_t piece_bytes() const = 0;
  /// Durable when it returns; after an error everything is as it was.
  virtual Result<WrittenStep> write(StepContent content) = 0;
  /// Applies the rules; frees what goes.
  virtual Status retain() = 0;
  /// The newest step, or the newest before `before` (a name). nullopt if there is none. A step that
  /// cannot be opened has its error in `damage`.
  struct Found {
    ResumeReport report;
    std::optional<Checkpoint> checkpoint;
    std::optional<Error> damage;
  };
  virtual Result<std::optional<Found>> find_newest(const std::string& before) = 0;
};

Result<std::unique_ptr<StepTarget>> make_store_target(const std::string& address,
                                                      const SaverOptions& options);
Result<std::unique_ptr<StepTarget>> make_folder_target(io::FileSystem& files,
                                                       const std::string& folder,
                                                       const SaverOptions& options);

/// Whether an error says that a step's bytes are not what was saved, rather than that they could
/// not be had now.
bool is_damage(const Error& error);

}  // namespace kilter::train
