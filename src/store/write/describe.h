// What a checkpoint says about itself, as a commit's metadata. Source: spec/metadata.md.
#pragma once

#include <string>

#include "kilter/error.h"

#include "store/format/objects.h"
#include "store/write/tree_writer.h"

namespace kilter::store {

/// Step, epoch, loss, learning rate, architecture, licence and their kin, as far as the files state
/// them; `format` receives the checkpoint's format. Never an error: what says nothing says nothing.
SortedJson describe_source(const TreeSource& source, std::string* format);

/// A value as a user types it: a JSON number, true, false, null, array or object; else text.
SortedJson metadata_value(std::string_view text);

/// Whether a user may state this. Errors: kInvalidArgument for a key that no condition could name,
/// and for a listed number that is none (NaN, infinity and null are let through).
Status check_stated(const std::string& key, const SortedJson& value);

}  // namespace kilter::store
