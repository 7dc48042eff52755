// A tensor with fewer input channels, shown with as many as another has.
#pragma once

#include <cstdint>
#include <memory>

#include "flow/source.h"

namespace kilter::ops {

/// Inpainting UNets take 9 channels where plain ones take 4: the plain tensor `narrow`
/// [out, few, ...] as [out, many, ...], the channels it lacks with the values of `wide`, so that a
/// blend of the two leaves those as they are; in a dtype that has the numbers of both. The source
/// has that tensor alone, with index 0.
std::shared_ptr<const Source> make_widened_source(std::shared_ptr<const Source> narrow,
                                                  std::size_t narrow_tensor,
                                                  std::shared_ptr<const Source> wide,
                                                  std::size_t wide_tensor);

/// Whether `narrow` is `wide` with the first channels of dimension 1 alone: 4 of 8 or 9 of the
/// first convolution.
bool is_channel_subset(const TensorInfo& wide, const TensorInfo& narrow);

}  // namespace kilter::ops
