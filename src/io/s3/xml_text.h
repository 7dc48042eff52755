// Character data of XML, both ways.
#pragma once

#include <string>
#include <string_view>

#include "kilter/error.h"

namespace kilter::io::s3 {

inline bool is_xml_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

/// With the five entities and character references replaced. Errors: kMalformed for any other
/// entity, and for characters XML does not allow.
Result<std::string> xml_text(std::string_view raw);

/// Escaped so that it may stand between tags.
std::string xml_escape(std::string_view text);

}  // namespace kilter::io::s3
