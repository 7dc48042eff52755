// The statistics of a store as people and programs read them.
#pragma once

#include <string>

#include "cli/command.h"

namespace kilter::cli {

/// Opens the store and prints what occupies how much of it; JSON with --json.
/// Errors: as store::open_store(); kCorrupt, kIo, kCancelled.
Status print_store_stats(const std::string& address, const Invocation& invocation);

}  // namespace kilter::cli
