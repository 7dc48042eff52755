// The row of the table of formats for torch's distributed checkpoints.
#pragma once

#include "formats/format.h"

namespace kilter::formats {

/// "dcp": a folder with `.metadata` and `*.distcp` files.
const Format& dcp_format();

/// Scans a data file of compressed items by what `.metadata` beside it says.
/// False, and nothing appended, if it is none. Errors: kIo, kCancelled.
Result<bool> scan_distributed_file(io::FileSystem& files, const std::string& path,
                                   const RunContext& context, std::vector<Finding>* findings);

}  // namespace kilter::formats
