// The codecs there are. Each lives in the file of its name.
#pragma once

#include "store/codecs/codec.h"

namespace kilter::store {

const Codec& raw_codec();
const Codec& zstd_codec();
const Codec& exponent_codec();
const Codec& delta_codec();
const Codec& cast_codec();

}  // namespace kilter::store
