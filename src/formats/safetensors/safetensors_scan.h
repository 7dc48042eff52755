// What a sound safetensors header can still hide.
#pragma once

#include <string_view>
#include <vector>

#include "kilter/finding.h"

#include "formats/format.h"
#include "formats/safetensors/header.h"

namespace kilter::safetensors {

/// Names and metadata that would deceive whoever prints them.
void scan_header(const Header& header, std::string_view path, std::vector<Finding>* findings);

/// A second format in the same file: a zip that ends where the file ends, for loaders that ask
/// the end first.
void scan_polyglot(const formats::Probe& probe, std::vector<Finding>* findings);

}  // namespace kilter::safetensors
