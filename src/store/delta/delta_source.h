// The result's tensors and files, decoded from a delta and its base. Source: spec/delta.md.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "flow/source.h"
#include "ops/weights/weights_input.h"
#include "store/delta/delta_blocks.h"
#include "store/delta/delta_format.h"

namespace kilter::store {

/// An opened delta: a checkpoint whose metadata say that it is one.
struct DeltaFile {
  std::string address;
  Checkpoint checkpoint;
  std::string base_digest, result_digest;
  DeltaManifest manifest;
};
/// Errors: as open_checkpoint(); kInvalidArgument if it is no delta; kUnsupported for another
/// version; kMalformed.
Result<DeltaFile> open_delta(const std::string& address, const OpenOptions& options);

class DeltaSource : public Source {
 public:
  /// Reads the directories. `base` must outlive it. Errors: kMalformed for whatever spec/delta.md
  /// refuses.
  static Result<std::shared_ptr<const DeltaSource>> open(const DeltaFile& delta,
                                                         const ops::WeightsInput& base);
  ~DeltaSource() override = default;
  /// Of the tensors of the manifest that are the base's, the base's tensor.
  virtual std::optional<std::size_t> same_as_base(std::size_t tensor) const = 0;
};

}  // namespace kilter::store
