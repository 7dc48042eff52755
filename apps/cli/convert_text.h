// A conversion's report as people read it.
#pragma once

#include "kilter/convert.h"

#include "cli/command.h"

namespace kilter::cli {

/// Summary, then every tensor and value that did not simply go across; all of them with `every`.
void print_convert(const ConvertReport& report, const Terminal& terminal, bool every);

}  // namespace kilter::cli
