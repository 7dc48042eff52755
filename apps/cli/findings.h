// Findings as people read them.
#pragma once

#include <string>

#include "kilter/finding.h"

#include "cli/style.h"

namespace kilter::cli {

std::string severity_text(Severity severity, const Style& style);

/// A few indented lines: severity and rule, message, where, the call, why it is reached, by whom.
/// `file_path` is not repeated.
void print_finding(const Finding& finding, const std::string& file_path, const Style& style,
                   int width_columns);

}  // namespace kilter::cli
