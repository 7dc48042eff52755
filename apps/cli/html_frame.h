// The fixed texts of every page.
#pragma once

#include <string_view>

namespace kilter::cli {

extern const std::string_view kPageStyle;
extern const std::string_view kPageScript;

}  // namespace kilter::cli
