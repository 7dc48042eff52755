#include "formats/findings.h"

namespace kilter::formats {

Finding finding_from(const Fault& fault, Severity severity, std::string_view path) {
  const Error& error = fault.error;
  Finding out;
  out.rule = fault.rule;
  out.severity = severity;
  out.path = error.path.empty() ? std::string(path) : error.path;
  out.tensor = error.tensor;
  out.offset_bytes = error.offset_bytes;
  out.message = error.message;
  if (!error.expected.empty()) out.evidence = "expected " + error.expected;
  if (!error.found.empty())
    out.evidence += (out.evidence.empty() ? "found " : ", found ") + error.found;
  return out;
}

Severity severity_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::kMalformed:
    case ErrorCode::kCorrupt:
    case ErrorCode::kOutOfRange:
      return Severity::kMalformed;
    case ErrorCode::kUnsafe:
      return Severity::kDangerous;
    case ErrorCode::kLimitExceeded:
      return Severity::kSuspicious;
    default:
      return Severity::kUnknown;
  }
}

}  // namespace kilter::formats
