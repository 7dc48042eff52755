// Pieces of JSON that several reports share. Source: spec/cli-json.md.
#pragma once

#include <string>
#include <vector>

#include "kilter/convert.h"
#include "kilter/finding.h"

#include "base/json.h"

namespace kilter::ops {

std::string_view severity_name(Severity severity);
Json finding_to_json(const Finding& finding);
Json findings_to_json(const std::vector<Finding>& findings);
Json convert_to_json(const ConvertReport& report);

}  // namespace kilter::ops
