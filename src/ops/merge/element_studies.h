// Methods that judge element by element, each in its own way. Source: docs/merge-methods.md.
#pragma once

#include <memory>

#include "ops/merge/merge_study.h"

namespace kilter::ops {

std::unique_ptr<MergeStudy> study_nearswap(const TensorMerge& merge);
std::unique_ptr<MergeStudy> study_sce(const TensorMerge& merge, std::uint64_t memory_bytes_max);
std::unique_ptr<MergeStudy> study_fusion(const TensorMerge& merge, std::uint64_t memory_bytes_max);
/// ram and ramplus_tl.
std::unique_ptr<MergeStudy> study_ram(const TensorMerge& merge);

}  // namespace kilter::ops
