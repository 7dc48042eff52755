// From errors to findings: what stops a strict reader is an observation for a lenient one.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kilter/error.h"
#include "kilter/finding.h"

namespace kilter::formats {

/// A broken rule of a format: its name in spec/scan-rules.md, and the error a strict reader
/// returns.
struct Fault {
  std::string rule;
  Error error;
};

/// The error's own words: message, then what was expected and found as evidence.
Finding finding_from(const Fault& fault, Severity severity, std::string_view path);

/// The severity that fits an error met while judging a file: malformed content is kMalformed, a
/// refused name or call kDangerous, what could not be read or judged kUnknown.
Severity severity_of(ErrorCode code);

}  // namespace kilter::formats
