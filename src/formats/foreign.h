// Formats that are recognized by their magic but not read yet.
#pragma once

#include <optional>
#include <string_view>

#include "formats/format.h"

namespace kilter::formats {

/// The format's name for people ("GGUF (llama.cpp)"), or nullopt.
std::optional<std::string_view> foreign_format(const Probe& probe);

}  // namespace kilter::formats
