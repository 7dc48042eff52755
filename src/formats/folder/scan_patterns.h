// Words in texts that only attacks, or only code, have.
#pragma once

#include <span>
#include <string_view>

#include "kilter/finding.h"

namespace kilter::formats {

struct TextPattern {
  std::string_view text;
  Severity severity;
  std::string_view why;
};

/// In chat templates. Sources: CVE-2024-34359 (llama-cpp-python), HackTricks' and PortSwigger's
/// pages on server-side template injection in Jinja2.
std::span<const TextPattern> template_patterns();

/// In Python source that comes with a model: what reaches out of the process.
std::span<const TextPattern> python_patterns();

}  // namespace kilter::formats
