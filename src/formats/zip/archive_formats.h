// Archives of no particular kind: not opened as checkpoints, but checked and scanned.
#pragma once

#include "formats/format.h"

namespace kilter::formats {

/// "zip": any zip archive that no other format claims.
const Format& zip_archive_format();
/// "tar": any tar archive that no other format claims.
const Format& tar_archive_format();

}  // namespace kilter::formats
