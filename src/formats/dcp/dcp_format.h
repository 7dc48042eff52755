// The row of the table of formats for torch's distributed checkpoints.
#pragma once

#include "formats/format.h"

namespace kilter::formats {

/// "dcp": a folder with `.metadata` and `*.distcp` files.
const Format& dcp_format();

}  // namespace kilter::formats
