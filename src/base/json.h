// JSON in and out: nlohmann's ordered value, parsed strictly.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "kilter/error.h"

namespace kilter {

/// Keeps the order of keys. Include <nlohmann/json.hpp> in .cc files that touch values.
using Json = nlohmann::ordered_json;

struct JsonLimits {
  std::uint64_t bytes_max = 256ULL << 20;
  std::uint32_t depth_max = 128;
};

/// Strict RFC 8259: UTF-8, no comments, one value, duplicate keys refused by name.
/// Errors: kMalformed with the byte offset (from `base_offset_bytes`); kLimitExceeded.
Result<Json> parse_json(std::string_view text, const JsonLimits& limits = {},
                        std::uint64_t base_offset_bytes = 0);

/// Compact when indent < 0. Invalid UTF-8 in strings is replaced by U+FFFD: names come from files.
std::string dump_json(const Json& value, int indent = 2);

/// `{"error": {"code", "message", "path", "tensor", "offset", ...}}` as every command prints it.
/// Source: spec/cli-json.md.
Json error_to_json(const Error& error);

}  // namespace kilter
