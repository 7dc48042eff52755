// Writes `.metadata` for torch.distributed.checkpoint.load.
#pragma once

#include <string>

#include "formats/dcp/metadata.h"

namespace kilter::dcp {

/// The pickle, protocol 2, of a Metadata object of version "1.0.0". Every tensor chunk and object
/// must have its place. The same metadata gives the same bytes.
std::string write_metadata(const Metadata& metadata);

}  // namespace kilter::dcp
