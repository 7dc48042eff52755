// The rules that relate a header's entries to each other and to the file.
#pragma once

#include "formats/safetensors/header.h"

namespace kilter::safetensors {

/// Appends a fault unless there are too many already.
void add_fault(Header* header, std::string rule, Error error);

/// Names each key once; `names` are the keys in order, views of what outlives the call.
void check_names_unique(const std::vector<std::string_view>& names, Header* header);

/// Offsets against dtype and shape, each entry alone.
void check_sizes(Header* header);

/// Entries sorted by offset tile the data exactly: no overlap, hole, missing or trailing bytes.
void check_tiling(Header* header);

}  // namespace kilter::safetensors
