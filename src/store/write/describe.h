// What a checkpoint says about itself, as a commit's metadata. Source: spec/metadata.md.
#pragma once

#include <string>

#include "store/format/objects.h"
#include "store/write/tree_writer.h"

namespace kilter::store {

/// Step, epoch, loss, learning rate, architecture, licence and their kin, as far as the files state
/// them; `format` receives the checkpoint's format. Never an error: what says nothing says nothing.
SortedJson describe_source(const TreeSource& source, std::string* format);

/// A value as a user types it: a JSON number, true, false, null, array or object; else text.
SortedJson metadata_value(std::string_view text);

}  // namespace kilter::store
