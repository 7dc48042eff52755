// kilter delta: a fine-tune without its base. Owned by the floor `store`.
#pragma once

#include <cstdint>
#include <string>

#include "kilter/weights.h"

namespace kilter {

struct DeltaReport : WeightsReport {
  std::string base_digest, result_digest;  ///< content_digest() of base and result
  std::uint64_t plain_bytes = 0;           ///< of the result's tensors
  std::uint64_t payload_bytes = 0;         ///< of them in the delta
};

/// Writes into `target`, a safetensors file, what makes `result` out of `base`: exact integer
/// differences of the elements' bits where both have a tensor, the whole where only `result` has,
/// metadata and the files beside the weights. Reads both once; payloads wait in a file without a
/// name beside `target` until all sizes are known.
///
/// A tensor's fate in the report is "same", "delta", "whole" or "removed". Values that are no
/// tensors do not go along.
///
/// Errors: as open_checkpoint(); kInvalidArgument for a target that is no single safetensors file
/// and for names that are no UTF-8; kAlreadyExists; kNoSpace; kCancelled.
/// Source: spec/delta.md.
Result<DeltaReport> delta_make(const std::string& base, const std::string& result,
                               const std::string& target, const WeightsOptions& options = {});

/// The result again, in any format. Base and result are checked against their digests before the
/// first byte is written.
///
/// Errors: kInvalidArgument if `delta` is none; kCorrupt if `base` is another one than the delta
/// was made from (both digests are named), or if what comes out is not the result; kMalformed for a
/// damaged delta; as open_checkpoint(); kAlreadyExists; kNoSpace; kCancelled.
Result<DeltaReport> delta_apply(const std::string& base, const std::string& delta,
                                const std::string& target, const WeightsOptions& options = {});

/// weights_json() with "base_digest", "result_digest", "plain_bytes", "payload_bytes".
std::string delta_json(const DeltaReport& report);

/// reproduce() that follows the recipes of delta_apply() as well. Errors: as reproduce().
Result<ReproduceReport> reproduce_any(const std::string& address, const std::string& target,
                                      const WeightsOptions& options = {});

}  // namespace kilter
