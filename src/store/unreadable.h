// Files that are saved as they are although something is wrong with them.
#pragma once

#include <vector>

#include "store/write/tree_writer.h"

namespace kilter::store {

/// Files of the source that begin as a checkpoint does but cannot be read as one (cut off, damaged,
/// a pointer in place of the weights), each with the reason. Bytes are bytes: they are stored all
/// the same, but nobody should believe that they are a whole checkpoint. `tree` is what was made of
/// them.
std::vector<Error> unreadable_files(const TreeSource& source, const Tree& tree);

}  // namespace kilter::store
