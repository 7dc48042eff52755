// The rows of the table of formats for numpy's files.
#pragma once

#include "formats/format.h"

namespace kilter::formats {

const Format& npy_format();
const Format& npz_format();

}  // namespace kilter::formats
