// The row of the table of formats for safetensors files.
#pragma once

#include "formats/format.h"

namespace kilter::formats {

const Format& safetensors_format();

}  // namespace kilter::formats
