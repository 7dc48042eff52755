// kilter prune, strip, rename, shard: smaller weights. Owned by the floor `ops`.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "kilter/convert.h"
#include "kilter/weights.h"

namespace kilter {

enum class PruneWay : std::uint8_t {
  kMagnitude,  ///< the smallest elements
  kPattern,    ///< the smallest elements of each group: 2:4
  kRows,       ///< rows (dimension 0) of smallest L2 norm
  kColumns,    ///< columns (dimension 1) of smallest L2 norm
  kHeads,      ///< attention heads, by the L2 norm of their columns in the output projection
  kMask,       ///< where a mask says so
};

struct PruneOptions : WeightsOptions {
  PruneWay way = PruneWay::kMagnitude;
  double sparsity = 0.5;            ///< kMagnitude: share of elements that are zero afterwards
  bool global = false;              ///< kMagnitude: one threshold for all tensors, not one for each
  std::uint32_t pattern_keep = 2;   ///< kPattern: elements kept …
  std::uint32_t pattern_group = 4;  ///< … of so many neighbours in a row
  double fraction = 0;              ///< kRows, kColumns, kHeads: share of them that becomes zero
  std::uint32_t head_count = 0;     ///< kHeads; 0 = as config.json states it
  std::vector<std::string> only;    ///< globs; empty = weights of linear layers
  std::vector<std::string> exclude;  ///< globs
  std::string mask_source;           ///< kMask: address of bool or u8 tensors of the same names
  std::string mask_target;  ///< where masks are written (safetensors, bool, true = kept); ""
};

/// Sets weights to zero; shapes stay. Of equal magnitudes (norms) those of lower index are kept,
/// the count is round(share * all), half to even. NaN counts as larger than every number. Zeros
/// that are there are the first to go, so they stay zero. Everything else is copied.
///
/// Errors: as open_checkpoint(); kInvalidArgument (shares outside 0 to 1, globs that fit nothing,
/// no tensor to prune, masks that do not fit); kUnsupported for scaled f8; kAlreadyExists;
/// kNoSpace; kCancelled.
Result<WeightsReport> prune(const std::string& source, const std::string& target,
                            const PruneOptions& options = {});

struct StripOptions : WeightsOptions {
  Part part = Part::kWeights;     ///< whose tensors are the weights: kWeights or kEma
  bool keep_ema = false;          ///< EMA tensors stay beside the weights, under their own names
  bool keep_metadata = true;      ///< safetensors' __metadata__
  std::vector<std::string> keep;  ///< globs of tensors that stay though a rule says otherwise
  std::vector<std::string> drop;  ///< globs of tensors that go, too
};

/// Weights alone: without optimizer, EMA, schedulers and random states, loss modules, buffers that
/// every loader makes itself, and second copies of tied tensors. Bytes of what stays do not change.
///
/// Errors: as open_checkpoint(); kInvalidArgument (globs that fit nothing, no such part);
/// kAlreadyExists; kNoSpace; kCancelled.
Result<WeightsReport> strip(const std::string& source, const std::string& target,
                            const StripOptions& options = {});

struct RenameOptions : WeightsOptions {
  std::vector<std::pair<std::string, std::string>> rename;  ///< FROM=TO: prefix, or glob with one *
};

/// Tensors under other names. Rules apply in order, each to what the one before left.
///
/// Errors: as open_checkpoint(); kInvalidArgument (a rule that fits nothing, two tensors that would
/// get one name: both named); kAlreadyExists; kNoSpace; kCancelled.
Result<WeightsReport> rename_tensors(const std::string& source, const std::string& target,
                                     const RenameOptions& options);

/// All tensors as they are, in shards of at most options.shard_bytes_max, or (0) in one file.
///
/// Errors: as open_checkpoint(); kAlreadyExists; kNoSpace; kCancelled.
Result<WeightsReport> shard(const std::string& source, const std::string& target,
                            const WeightsOptions& options);

}  // namespace kilter
