// Several checkpoints of one run, in their order.
#pragma once

#include <string>
#include <vector>

#include "store/write/describe.h"

namespace kilter::store {

/// A checkpoint that may be saved, and what its files state.
struct SourceItem {
  std::string path;
  std::string format;  ///< empty if unknown
  SortedJson metadata = SortedJson::object();
  std::uint64_t bytes = 0;
};

/// Looks at one file or folder. Errors: kNotFound, kIo, kPermission; kInvalidArgument for what
/// cannot be saved.
Result<SourceItem> look_at_source(io::FileSystem& files, std::string path,
                                  const std::vector<std::string>& skip);

/// What these paths and patterns ("run/checkpoint-*", of the real file system) lead to, by the step
/// that each states; those that state none come first, in the order they were given.
/// Errors: kNotFound if nothing is there; as look_at_source().
Result<std::vector<SourceItem>> find_series(io::FileSystem& files,
                                            const std::vector<std::string>& patterns,
                                            const std::vector<std::string>& skip);

}  // namespace kilter::store
