// Percent-encoding as SigV4 wants it (RFC 3986, section 2).
#pragma once

#include <string>
#include <string_view>

#include "kilter/error.h"

namespace kilter::io::s3 {

enum class Slashes : bool { kEncode, kKeep };

/// Everything but A-Z a-z 0-9 - . _ ~ becomes %XX with upper-case digits, byte by byte.
std::string uri_encode(std::string_view text, Slashes slashes = Slashes::kEncode);

/// The reverse, for names in listings: "+" is a space there, as in forms. Errors: kMalformed for
/// "%" without two hexadecimal digits.
Result<std::string> form_decode(std::string_view text);

}  // namespace kilter::io::s3
