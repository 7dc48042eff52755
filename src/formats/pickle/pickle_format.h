// The format "pickle": bare pickle files, joblib's included. Read only.
#pragma once

#include "formats/format.h"

namespace kilter::formats {

/// Its row of the table of formats. torch's legacy files, which begin with a pickled magic number,
/// are not taken for bare pickles.
const Format& pickle_format();

}  // namespace kilter::formats
