// What `kilter adapter inspect` prints for people.
#pragma once

#include "kilter/adapter.h"

#include "cli/command.h"

namespace kilter::cli {

/// `every`: each module on a line of its own instead of groups of alike ones.
void print_adapter(const AdapterReport& report, const Terminal& terminal, bool every);

}  // namespace kilter::cli
