// The files ~/.aws/config and ~/.aws/credentials.
// Source: AWS SDKs and Tools Reference Guide, "Location and format of the shared files".
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "kilter/error.h"

namespace kilter::io::s3 {

/// Section name as in brackets ("default", "profile x", "services y") to its settings. Keys are
/// lower-case; a setting nested by indentation is "parent.child".
using ProfileFile = std::map<std::string, std::map<std::string, std::string>, std::less<>>;

/// Comments (# and ; at the start of a line) and blank lines are skipped; a later setting wins.
/// Errors never repeat a line, which may hold a secret: kMalformed with the line's number for a
/// section that does not close or a line without "="; kLimitExceeded above 1 MiB.
Result<ProfileFile> parse_profile_file(std::string_view text);

}  // namespace kilter::io::s3
