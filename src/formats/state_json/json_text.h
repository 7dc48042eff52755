// Small pieces of JSON text.
#pragma once

#include <string>
#include <string_view>

namespace kilter::state_json {

/// `text` (valid UTF-8) in quotes, with the escapes RFC 8259 asks for and no others.
std::string json_string(std::string_view text);

/// A float as spec/state-json.md says: "1.0", "1e-05", {"$float": "nan"}.
std::string float_text(double value);

}  // namespace kilter::state_json
