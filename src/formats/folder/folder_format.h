// The row of the table of formats for folders.
#pragma once

#include "formats/format.h"

namespace kilter::formats {

const Format& folder_format();

}  // namespace kilter::formats
