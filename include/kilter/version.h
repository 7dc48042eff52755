// The version of this build. Owned by the floor `base`.
#pragma once

#include <string_view>

namespace kilter {

/// "0.1.0": semantic version of the library and the command line.
std::string_view version();

}  // namespace kilter
