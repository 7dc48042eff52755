// Text for people: escaped names, sizes with units, globs.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace kilter {

/// Makes text from a file safe to print: control, bidirectional and invalid UTF-8 bytes become
/// \n, \x1b, \u202e …; at most `chars_max` characters, then "…".
std::string escape_text(std::string_view text, std::size_t chars_max = 1000);

/// A to Z as a to z; everything else as it is.
std::string ascii_lower(std::string_view text);

/// "1.5 GiB", "512 B": binary units, at most one decimal.
std::string format_bytes(std::uint64_t bytes);
/// "2.41 GB/s".
std::string format_rate(double bytes_per_second);
/// "1,234,567".
std::string format_count(std::uint64_t count);
/// "7.24 B", "1.5 M": parameters, decimal units.
std::string format_quantity(std::uint64_t count);

/// Shell-like match: * any run, ? one character, [abc] [a-z] [!a]; \ escapes. No recursion;
/// linear in practice, quadratic at worst.
bool glob_match(std::string_view pattern, std::string_view text);

/// "512MiB", "2G", "1.5GB", "4096" to bytes (K, M, G, T are binary, as is KiB; KB is decimal).
bool parse_bytes(std::string_view text, std::uint64_t* bytes);

bool is_valid_utf8(std::string_view text);

}  // namespace kilter
