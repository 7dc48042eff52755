// The table of errors as a whole, for documentation and for the edges that translate it.
#pragma once

#include <span>

#include "kilter/error.h"

namespace kilter {

/// One row for each ErrorCode, in the enumerators' order.
std::span<const ErrorRow> error_table();

}  // namespace kilter
