// Compares every local header with the directory and looks at what lies between members.
#pragma once

#include <string>

#include "formats/zip/archive.h"
#include "formats/zip/finding_list.h"
#include "formats/zip/records.h"

namespace kilter::zip {

/// Sets each member's data_offset_bytes (and clears data_fits where the data cannot be there).
/// Headers are read in bulk where they lie close together. Errors: kIo.
Status read_local_headers(const io::ReadFile& file, const EndRecord& end, FindingList* list,
                          Archive* archive);

}  // namespace kilter::zip
